"""The keys of endpoints. A key is read when it is first needed, and leaves this module only as a header."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from spnl_tui.errors import RequestError

_PATIENCE_S = 60
"""Seconds to wait for a command, which may ask the user for a password."""
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Secret:
    """A key that never appears in `repr`, logs or tracebacks."""

    _text: str

    def __repr__(self) -> str:
        return "Secret()"

    def reveal(self) -> str:
        """Return the key, for use in a header."""
        return self._text

    def hidden(self, text: str) -> str:
        """Return the text with the key removed, because servers quote keys in their errors."""
        return text.replace(self._text, "…") if len(self._text) > 3 else text


class KeySource:
    """The source of an endpoint's key: an environment variable, a command, or none."""

    def __init__(
        self, environ: Mapping[str, str], *, variable: str | None = None, command: str | None = None
    ) -> None:
        self._environ = environ
        self.variable = variable
        self.command = command
        self._known: Secret | None = None
        self._asking = asyncio.Lock()

    async def key(self) -> Secret | None:
        """Return the key; None if the endpoint needs none.

        Raises:
            RequestError: the environment variable is not set, or the command failed.
        """
        async with self._asking:
            if self._known is None:
                text = await self._read()
                self._known = None if text is None else Secret(text)
            return self._known

    def forget(self) -> None:
        """Forget the key, so that the next request reads it again."""
        self._known = None

    async def _read(self) -> str | None:
        text = self._environ.get(self.variable, "").strip() if self.variable is not None else ""
        if not text and self.command is not None:
            return await _output(self.command)
        if self.variable is None:
            return None
        if not text:
            raise RequestError(
                "The key is missing",
                f"The environment variable {self.variable} is not set.",
                f"Set it before you start spnl-chat: export {self.variable}=…",
            )
        return _checked(text, self.variable)


def expand(value: str, environ: Mapping[str, str]) -> str:
    """Return a header's value with environment variables replaced: `$NAME` or `${NAME}`."""
    return _VARIABLE.sub(lambda match: environ.get(match[1] or match[2], ""), value)


def _words(command: str) -> list[str]:
    return [os.path.expanduser(word) for word in shlex.split(command)]


async def _output(command: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *_words(command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not a command"
        raise _command_failed(command, f"{reason}.") from None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            output, _ = await process.communicate()
    except TimeoutError:
        raise _command_failed(command, f"it did not end within {_PATIENCE_S} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise _command_failed(command, f"it exited with status {process.returncode}.")
    lines = output.decode("utf-8", "replace").strip().splitlines()
    if not lines:
        raise _command_failed(command, "it printed nothing.")
    return _checked(lines[0].strip(), "api_key_command")


def _checked(text: str, source: str) -> str:
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    raise RequestError(
        "The key is not valid",
        f"The key from {source} has characters that HTTP does not allow.",
        "Check that it is the key alone, without quotes or spaces.",
    )


def _command_failed(command: str, why: str) -> RequestError:
    return RequestError(
        "The key cannot be read",
        f"api_key_command: {command.split()[0] if command.split() else command!r}: {why}",
        "Run the command in a terminal to see why.",
    )
