"""Print results on standard output and everything else on standard error."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TextIO

from spnl_tui.errors import SpnlError
from spnl_tui.headless.broken_pipe import BROKEN_PIPE, discard_output
from spnl_tui.text import first_line, plain, without_controls

OK, FAILED, USAGE = 0, 1, 2


def colour(stream: TextIO) -> bool:
    """Return True if this stream may receive colour codes: a terminal, without NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show_error(error: SpnlError, stream: TextIO | None = None) -> None:
    """Print what happened, why, and what to do, in at most four lines without control characters."""
    stream = stream or sys.stderr
    start, end = ("\x1b[1;31m", "\x1b[0m") if colour(stream) else ("", "")
    lines = [f"{start}Error:{end} {first_line(error.title, 200)}"]
    message = [line for line in plain(error.message).splitlines() if line.strip()]
    lines += [f"  {line.strip()}" for line in message[:2]]
    if error.hint:
        lines.append(f"  {first_line(error.hint, 400)}")
    print("\n".join(lines), file=stream, flush=True)


def for_output(text: str) -> str:
    """Return a reply as standard output may receive it: for display on a terminal, else verbatim."""
    return plain(text) if sys.stdout.isatty() else without_controls(text)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Print a value as JSON on standard output, in its encoding."""
    print(encodable_json(json.dumps(value, ensure_ascii=False, indent=indent)), flush=True)


def encodable_json(text: str) -> str:
    """Return JSON that standard output can encode and a terminal shows as it is, by escapes where necessary.

    Text of the hub or of a model may hold characters that reorder a terminal's line.
    """
    if sys.stdout.isatty():
        text = "".join(
            each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
        )
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "".join(each if each.isascii() else json.dumps(each)[1:-1] for each in text)
    return text


class Transient:
    """A temporary line on a terminal's standard error, removed before other output."""

    def __init__(self, stream: TextIO | None = None, *, on: bool = True) -> None:
        self._stream = stream or sys.stderr
        self.on = on and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = False

    def show(self, text: str) -> None:
        """Replace the line. Do nothing without a terminal."""
        if self.on:
            # A wrapped line could not be removed.
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write(f"\r\x1b[K{first_line(text, min(100, columns - 1))}")
            self._stream.flush()
            self._shown = True

    def clear(self) -> None:
        """Remove the line."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


def run(main: Coroutine[None, None, int]) -> int:
    """Run a command to its end and return its exit code.

    A SpnlError is shown and exits with 1. Ctrl+C cancels the command, which then cleans up and exits with
    130; SIGTERM does the same with 143. A closed standard output ends the command silently.
    """
    try:
        return asyncio.run(_interruptible(main))
    except SpnlError as error:
        show_error(error)
        return FAILED
    except BrokenPipeError:
        discard_output()
        return BROKEN_PIPE


async def _interruptible(main: Coroutine[None, None, int]) -> int:
    task = asyncio.ensure_future(main)
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not caught:
            raise
        return 128 + caught[0]
