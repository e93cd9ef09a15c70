"""Read lines from the user, edited by the terminal itself or with history and completion (prompt_toolkit)."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

_BLOCK = '"""'
"""Encloses a text of several lines, as in other line-based chats."""


class LineReader(Protocol):
    """Asks the user for a line."""

    async def read(self, label: str, default: str = "") -> str | None:
        """Return a line without its end; None at the end of the input. `default` is a text to edit.

        Raises:
            KeyboardInterrupt: the user pressed Ctrl+C.
        """

    def remember(self, prompts: Iterable[str]) -> None:
        """Add earlier prompts to the history, oldest first."""

    def interrupt(self) -> None:
        """End the current `read` with KeyboardInterrupt, because a signal asks for it."""


class PlainReader:
    """Reads lines as the terminal, a pipe or a file delivers them. The terminal itself edits the line."""

    def __init__(self, stream: TextIO | None = None, output: TextIO | None = None) -> None:
        self._fd = (stream or sys.stdin).fileno()
        self._output = output or sys.stdout
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._ended = False
        self._waiting: asyncio.Future[None] | None = None

    def remember(self, prompts: Iterable[str]) -> None:
        """Do nothing: the terminal has no history."""

    def interrupt(self) -> None:
        """End the current `read` with KeyboardInterrupt."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(KeyboardInterrupt())

    async def read(self, label: str, default: str = "") -> str | None:
        """Return the next line; see LineReader. Terminals cannot edit `default`, so print it above."""
        if default:
            self._output.write(f"{default}\n")
        self._output.write(label)
        self._output.flush()
        while "\n" not in self._text and not self._ended:
            await self._fill()
        line, end, self._text = self._text.partition("\n")
        return line.removesuffix("\r") if line or end else None

    async def _fill(self) -> None:
        """Read what is available, and wait for it if necessary."""
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        try:
            loop.add_reader(self._fd, self._ready)
        except PermissionError:  # a regular file, which never blocks
            self._take()
            return
        try:
            await self._waiting
        except KeyboardInterrupt:
            self._text = ""
            raise
        finally:
            loop.remove_reader(self._fd)
        self._take()

    def _ready(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _take(self) -> None:
        try:
            data = os.read(self._fd, 65_536)
        except OSError:  # the terminal is gone
            data = b""
        self._ended = not data
        self._text += self._decoder.decode(data, final=not data)


class EditingReader:
    """Reads lines with history, completion and readline's keys. Alt+Enter begins another line."""

    def __init__(self, complete: Callable[[str], Sequence[tuple[str, int, str]]]) -> None:
        """`complete` returns completions of the text before the cursor: text, start (≤ 0), description."""
        self._session = _session(complete)

    def remember(self, prompts: Iterable[str]) -> None:
        """Add earlier prompts to the history, oldest first."""
        for text in prompts:
            self._session.history.append_string(text)

    def interrupt(self) -> None:
        """End the current `read`. On the terminal itself, Ctrl+C is a key."""
        if self._session.app.is_running:
            self._session.app.exit(exception=KeyboardInterrupt())

    async def read(self, label: str, default: str = "") -> str | None:
        """Return the next text, which may have several lines; see LineReader."""
        from prompt_toolkit.formatted_text import ANSI

        try:
            return await self._session.prompt_async(ANSI(label), default=default, handle_sigint=False)
        except EOFError:
            return None


def _session(complete: Callable[[str], Sequence[tuple[str, int, str]]]) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    class Completions(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
            for text, start, description in complete(document.text_before_cursor):
                yield Completion(text, start, display_meta=description)

    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return PromptSession(
        history=InMemoryHistory(),
        completer=Completions(),
        complete_while_typing=False,
        key_bindings=keys,
        enable_open_in_editor=True,
    )


async def read_prompt(reader: LineReader, label: str, default: str = "") -> str | None:
    """Return a prompt; None at the end of the input.

    A line that ends with a backslash continues on the next line, and three quotation marks enclose several
    lines.
    """
    text = await reader.read(label, default)
    if text is None:
        return None
    while text.endswith("\\") and not text.endswith("\\\\"):
        more = await reader.read("... ")
        text = f"{text[:-1]}\n{more or ''}"
        if more is None:
            break
    if text.lstrip().startswith(_BLOCK) and text.count(_BLOCK) == 1:
        while _BLOCK not in text.lstrip()[len(_BLOCK) :]:
            more = await reader.read("... ")
            if more is None:
                break
            text += f"\n{more}"
    stripped = text.strip()
    if stripped.startswith(_BLOCK):
        stripped = stripped.removeprefix(_BLOCK).removesuffix(_BLOCK).strip("\n")
    return stripped
