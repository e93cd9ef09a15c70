"""Separates calls from text in a streaming reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.tool_formats.calls import ToolFormat, new_call_id
from spnl_tui.models.tools import Tool


class CallSplitter:
    """Splits one reply. Text streams until a possible call begins; the rest is held back until the end.

    Text that turns out not to be a call is returned as text.
    """

    def __init__(self, format: ToolFormat, tools: Sequence[Tool]) -> None:
        self._format = format
        self._tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self._held = ""
        self._in_calls = False
        self._begun = False
        self.ended = False
        """True if something follows the calls: the model has begun to invent results."""

    def feed(self, text: str) -> str:
        """Return the part of the new text that can be shown."""
        if self.ended:
            return ""
        self._held += text
        if not self._in_calls:
            shown, self._held, self._in_calls = self._divide(self._held)
            self._begun = self._begun or bool(shown.strip())
            return shown
        if any(mark[-1] in text for mark in self._closings):
            self._check_end()
        return ""

    def finish(self) -> tuple[str, tuple[ToolCallPart, ...]]:
        """Return the rest of the text and the calls. Call it at the end of the reply."""
        held, self._held = self._held, ""
        if not self._in_calls:
            return held, ()
        parsed = self._format.parse(held, self._tools)
        if parsed is None:
            return held, ()
        return "", tuple(replace(call, id=call.id or new_call_id()) for call in parsed.calls)

    @property
    def _closings(self) -> tuple[str, ...]:
        return ("}", "]", ">", ")", "\n")

    def _divide(self, text: str) -> tuple[str, str, bool]:
        """Return the text to show, the text to hold back, and True if the latter may be a call."""
        opens = self._format.opens
        if self._format.at_start:
            markers = [open for open in opens if len(open) > 1]
            stripped = text.lstrip()
            if not self._begun and not stripped:
                return "", text, False
            if not self._begun and stripped.startswith(opens):
                return "", text, True
            opens = tuple(markers)
        places = [(at, open) for open in opens if (at := text.find(open)) >= 0]
        if places:
            at = min(places)[0]
            return text[:at], text[at:], True
        keep = max((_overlap(text, open) for open in opens), default=0)
        return text[: len(text) - keep], text[len(text) - keep :], False

    def _check_end(self) -> None:
        parsed = self._format.parse(self._held, self._tools)
        if parsed is None:
            return
        rest = self._held[parsed.end :].lstrip()
        may_continue = not rest or any(
            open.startswith(rest) or rest.startswith(open) for open in (*self._format.opens, *_CLOSE_STARTS)
        )
        if not may_continue:
            self._held = self._held[: parsed.end]
            self.ended = True


_CLOSE_STARTS = ("<", "[", ";", ",", "`")
"""The possible beginnings of text after a call: the end of the section or another call."""


def _overlap(text: str, marker: str) -> int:
    """Return the length of the longest end of the text with which the marker begins."""
    longest = min(len(text), len(marker) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(marker[:length])), 0)
