"""The line at the top: the conversation's title, and the pulls in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from spnl_tui.text import first_line
from spnl_tui.ui.pulls.text import summary

if TYPE_CHECKING:
    from spnl_tui.hub.pulls.download import Download


class TopLine(Widget):
    """The title gives way to the pulls."""

    title: reactive[str] = reactive("")
    downloads: reactive[tuple[Download, ...]] = reactive((), repaint=False)
    summary: reactive[str] = reactive("")

    def __init__(self, go_on_key: str = "") -> None:
        super().__init__(id="top")
        self._go_on_key = go_on_key

    def watch_downloads(self, downloads: tuple[Download, ...]) -> None:
        """Paint only when the words change."""
        self.summary = summary(downloads, self._go_on_key)

    def render(self) -> Content:
        """The line, as wide as the terminal."""
        width = self.size.width
        right = first_line(self.summary, width) if self.summary else ""
        room = width - len(right) - 3
        left = first_line(self.title or "spnl-chat", room) if room > 0 else ""
        gap = " " * (width - Content(left).cell_length - len(right))
        return Content.assemble(left, gap, (right, "$text-primary"))
