"""The top line: the conversation's title, and the pulls in a few words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

from spnl_tui.text import first_line

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.queued_pull import QueuedPull


_USABLE = Size(60, 20)
"""The size from which everything can be used."""
_LEAST = Size(50, 16)
"""Below this size, dialogs hide some of their lines; the program says so."""


class TopLine(Widget):
    """Shows title and pulls. A long title is cut to make room for the pulls."""

    title: reactive[str] = reactive("")
    queued_pulls: reactive[tuple[QueuedPull, ...]] = reactive((), repaint=False)
    summary: reactive[str] = reactive("")

    def __init__(self, summarize: Callable[[tuple[QueuedPull, ...]], str]) -> None:
        """`summarize` returns the pulls in a few words."""
        super().__init__(id="top")
        self._summarize = summarize

    def watch_queued_pulls(self, queued_pulls: tuple[QueuedPull, ...]) -> None:
        """Repaint only when the words change."""
        self.summary = self._summarize(queued_pulls)

    def render(self) -> Content:
        """Return the line, as wide as the terminal."""
        width = self.size.width
        small = width < _LEAST.width or self.app.size.height < _LEAST.height
        needs = f"small: needs {_USABLE.width}×{_USABLE.height}" if small else ""
        right = first_line(needs or self.summary, width) if needs or self.summary else ""
        room = width - len(right) - 3
        left = first_line(self.title or "spnl-chat", room) if room > 0 else ""
        gap = " " * (width - Content(left).cell_length - len(right))
        return Content.assemble(left, gap, (right, "$text-primary"))
