"""The text of a reply while it grows."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.selection import Selection
from textual.widget import Widget
from textual.widgets import Static

from spnl_tui.ui.chat.markdown.lines import Line, selected_text
from spnl_tui.ui.chat.markdown.rendering import Placed, layout, parse
from spnl_tui.ui.chat.markdown.stream import MarkdownSplitter, Piece, whole_blocks
from spnl_tui.ui.widgets.mounting import mount

_LINES_TOGETHER = 40
"""The lines of source in one widget. Many widgets make layouts slow, large ones make drawing slow."""


Sought: TypeAlias = Callable[[], re.Pattern[str] | None]
"""Returns the pattern that the user searches for in the conversation; None without a search."""


def highlight(text: Content, pattern: re.Pattern[str] | None) -> Content:
    """Return the text with matches of the pattern highlighted."""
    if pattern is not None:
        for match in pattern.finditer(text.plain):
            text = text.stylize("bold $text-warning reverse", *match.span())
    return text


class Prose(Widget):
    """Rendered Markdown, in one widget however long it is."""

    def __init__(
        self, source: str = "", references: Mapping[str, Any] | None = None, *, sought: Sought
    ) -> None:
        super().__init__()
        self._sought = sought
        self._blocks: list[Placed] = parse(source, references=references) if source else []
        self._lines: list[Line] = []
        self._width = 0
        self.source_lines = source.count("\n")

    def show(self, source: str, *, headless: bool = False) -> None:
        """Show this instead; `headless` as in `parse`."""
        self._blocks = parse(source, headless=headless)
        self._changed(layout(self._blocks, self._width) if self._width else [])

    def append(self, piece: Piece) -> None:
        """Show this piece below."""
        added = parse(piece.source, continues=piece.continues, headless=piece.headless)
        self._blocks += added
        self.source_lines += max(1, piece.source.count("\n"), len(piece.source) // 100)
        self._changed(self._lines + layout(added, self._width) if self._width else [])

    def _changed(self, lines: list[Line]) -> None:
        # A layout moves and paints the whole conversation. Most additions only make the last line longer.
        self.refresh(layout=not self._width or len(lines) != len(self._lines))
        self._lines = lines

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """The lines that the text takes at this width."""
        return len(self._laid_out(width))

    def render(self) -> Content:
        """Return the lines, joined."""
        lines = [line.content for line in self._laid_out(self.size.width)]
        return highlight(Content("\n").join(lines), self._sought())

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected original text, without wraps, borders and bullets, and what follows it."""
        lines = self._laid_out(self.size.width)
        start = (0, 0) if selection.start is None else (selection.start.y, selection.start.x)
        last = (len(lines), 0) if selection.end is None else (selection.end.y, selection.end.x)
        return selected_text(lines, start, last), "\n"

    def line_of(self, pattern: re.Pattern[str]) -> int | None:
        """The first line that has this."""
        lines = self._laid_out(self.size.width)
        return next((number for number, line in enumerate(lines) if pattern.search(line.content.plain)), None)

    def _laid_out(self, width: int) -> list[Line]:
        if width != self._width:
            self._lines = layout(self._blocks, width)
            self._width = width
        return self._lines


class ReplyText(Vertical):
    """Shows a growing text at a cost that does not grow with its length.

    Finished blocks are parsed and laid out once; only the open end is processed again for each addition.
    """

    def __init__(self, *, markdown: bool = True, sought: Sought = lambda: None) -> None:
        super().__init__()
        self._sought = sought
        self._as_markdown = markdown
        self._source = ""
        self._splitter = MarkdownSplitter()
        self._finished: Prose | None = None
        """The last widget with finished blocks."""
        self._tail: Prose | None = None
        self._raw: Static | None = None
        """The last widget with text as it is."""
        self._raw_text = ""
        """The text of that widget."""

    async def show(self, source: str) -> None:
        """Show `source`, which begins with what was shown before."""
        added = source[len(self._source) :]
        self._source = source
        if not added:
            return
        if not self._as_markdown:
            await self._add_raw(added)
            return
        for piece in self._splitter.feed(added):
            if self._finished is None or self._finished.source_lines >= _LINES_TOGETHER:
                self._finished = Prose(sought=self._sought)
                await mount(self, self._finished, before=self._tail)
            self._finished.append(piece)
        if self._tail is None:
            self._tail = Prose(sought=self._sought)
            await mount(self, self._tail)
        if self._splitter.due:
            self._tail.show(self._splitter.tail, headless=self._splitter.headless)

    async def _add_raw(self, added: str) -> None:
        """Show this text below as it is, in widgets of some lines each."""
        self._raw_text += added
        while self._raw is not None and self._raw_text.count("\n") > _LINES_TOGETHER:
            cut = self._raw_text.rindex("\n")
            self._raw.update(Content(self._raw_text[:cut]))
            self._raw, self._raw_text = None, self._raw_text[cut + 1 :]
        if self._raw is None:
            self._raw = Static(markup=False)
            await mount(self, self._raw)
        self._raw.update(Content(self._raw_text))

    async def show_whole(self, source: str) -> None:
        """Show this text, which is all there will be."""
        self._source = source
        if not self._as_markdown:
            await self.remove_children()
            await mount(self, Static(Content(source), markup=False))
            return
        with self.app.batch_update():
            await self.remove_children()
            parts, references = whole_blocks(source, _LINES_TOGETHER)
            await mount(self, *(Prose(part, references, sought=self._sought) for part in parts))
