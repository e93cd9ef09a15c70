"""The output of the line mode: lines in order, and no control sequences except colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from spnl_tui.chat.status import Activity
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import SpnlError
from spnl_tui.text import plain

_LONG_PROMPT = 500
"""Tokens. Reading a shorter prompt is too quick to report."""
_EVERY_S = 10
"""Seconds between two reports on the same wait."""


@dataclass(slots=True)
class _Printed:
    """The printed part of a reply."""

    name: str
    labelled: bool = False
    text: int = 0
    thought: int = 0
    """Characters of the reasoning."""
    thinking_since: float | None = None
    wait: str = ""
    """The state that was reported last."""
    wait_reported_at: float = 0.0


class Printer:
    """Prints notes, errors and replies. A reply is printed as it grows."""

    def __init__(
        self, stream: TextIO, *, colour: bool, show_thinking: bool, clock: Callable[[], float]
    ) -> None:
        self._stream = stream
        self._colour = colour
        self._show_thinking = show_thinking
        self._clock = clock
        self._in_line = False
        self._reply = _Printed("")

    def line(self, text: str = "") -> None:
        """Print a line."""
        self._write(f"{plain(text)}\n")

    def note(self, text: str) -> None:
        """Print a line about the program itself, in brackets."""
        self._write(self._styled(f"[{plain(text)}]", "2") + "\n")

    def error(self, error: SpnlError, *, timeout: float = 10) -> None:
        """Print what happened, why, and what to do. `timeout` is for screens."""
        self.end_line()
        self._write(self._styled(f"Error: {plain(error.title)}", "1;31") + "\n")
        for part in (error.message, error.hint):
            for line in plain(part).splitlines():
                if line.strip():
                    self._write(f"  {line.strip()}\n")

    def label(self, name: str) -> str:
        """Return the name at the beginning of a line, such as "you> "."""
        return self._styled(f"{plain(name)}>", "1") + " "

    # ── replies ──────────────────────────────────────────────────────────────────────────────────

    def reply_started(self, name: str) -> None:
        """Prepare for the reply of a speaker. Its label is printed with its first text."""
        self._reply = _Printed(name)

    def reply_progressed(self, turn: Turn, activity: Activity) -> None:
        """Print what was added to the reply; before its first text, report a long wait."""
        if turn.reasoning and not turn.text:
            self._think(turn.reasoning)
        elif turn.text:
            self._say(turn)
        else:
            self._wait(activity)

    def reply_ended(self, turn: Turn) -> None:
        """Print the rest of the reply."""
        if turn.text:
            self._say(turn)
        self.end_line()

    def end_line(self) -> None:
        """Begin a new line, unless the cursor is at the beginning of one."""
        if self._in_line:
            self._write("\n")

    def _think(self, reasoning: str) -> None:
        reply = self._reply
        if reply.thinking_since is None:
            reply.thinking_since = self._clock()
            self.note("thinking")
        if self._show_thinking:
            self._write(plain(reasoning[reply.thought :]))
            reply.thought = len(reasoning)

    def _say(self, turn: Turn) -> None:
        reply = self._reply
        if not reply.labelled:
            reply.labelled = True
            self.end_line()
            if reply.thinking_since is not None:
                self.note(f"thought for {self._clock() - reply.thinking_since:.0f} s")
            self._write(self.label(reply.name))
        self._write(plain(turn.text[reply.text :]))
        reply.text = len(turn.text)

    def _wait(self, activity: Activity) -> None:
        match activity.state:
            case "loading":
                words = f"loading the model{f': {activity.stage}' if activity.stage else ''}"
            case "queued":
                words = f"waiting for {activity.ahead} other requests"
            case "summarizing":
                words = "summarizing older turns"
            case "prefill" if activity.total >= _LONG_PROMPT:
                words = f"reading the prompt: {activity.done:,} of {activity.total:,} tokens"
            case _:
                return
        now, reply = self._clock(), self._reply
        if activity.state != reply.wait or now - reply.wait_reported_at >= _EVERY_S:
            reply.wait, reply.wait_reported_at = activity.state, now
            self.note(words)

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colour else text

    def _write(self, text: str) -> None:
        if text:
            self._stream.write(text)
            self._stream.flush()
            self._in_line = not text.endswith("\n")
