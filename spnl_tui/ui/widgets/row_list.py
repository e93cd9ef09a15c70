"""A list of rows, each one line high. Only visible rows cost time, regardless of the length."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.cache import LRUCache
from textual.geometry import Region, Size, Spacing
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import Padding, Visual

from spnl_tui.ui.widgets.model_row import ModelRow, Row

_PADDING = Spacing(0, 1, 0, 1)


class RowList(ScrollView, can_focus=False):
    """Shows rows, one of them highlighted. It never has the focus; the focused widget forwards movement keys.

    Textual's OptionList asks each option for its height and discards its cached lines when any option
    changes.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {"row-list--row", "row-list--highlighted", "row-list--hovered"}

    highlighted: reactive[int | None] = reactive(None, repaint=False)
    """The index of the highlighted row."""
    hovered: reactive[int | None] = reactive(None, repaint=False)
    """The index of the row under the mouse."""

    class Highlighted(Message):
        """The highlighted row may have changed."""

    class Selected(Message):
        """The user clicked the highlighted row."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.rows: Sequence[ModelRow] = ()
        self._drawn: LRUCache[tuple[Row, int, Style], Strip] = LRUCache(256)

    def set_rows(self, rows: Sequence[ModelRow], highlighted: int | None) -> None:
        """Replace the rows by these."""
        self.rows = rows
        self.set_reactive(RowList.highlighted, highlighted)
        self.virtual_size = Size(0, len(rows))
        self.refresh()
        self._highlight_moved()

    @property
    def highlighted_row(self) -> ModelRow | None:
        """The highlighted row."""
        return None if self.highlighted is None else self.rows[self.highlighted]

    def move(self, step: int) -> None:
        """Move the highlight to the next (1) or previous (-1) selectable row; the first follows the last."""
        count = len(self.rows)
        start = self.highlighted if self.highlighted is not None else -1 if step > 0 else 0
        self._highlight_first([(start + step * distance) % count for distance in range(1, count + 1)])

    def page(self, step: int) -> None:
        """Move the highlight by a page, or to the last selectable row in this direction."""
        last = len(self.rows) - 1
        start = self.highlighted if self.highlighted is not None else 0 if step > 0 else last
        target = max(0, min(last, start + step * self.scrollable_content_region.height))
        on, back = range(target, last + 1), range(target, -1, -1)
        self._highlight_first([*on, *back] if step > 0 else [*back, *on])

    def _highlight_first(self, places: Sequence[int]) -> None:
        self.highlighted = next(
            (place for place in places if not self.rows[place].disabled), self.highlighted
        )

    def watch_highlighted(self, before: int | None, highlighted: int | None) -> None:
        """Redraw the two affected rows."""
        self._refresh_rows(before, highlighted)
        self._highlight_moved()

    def watch_hovered(self, before: int | None, hovered: int | None) -> None:
        """Redraw the two affected rows."""
        self._refresh_rows(before, hovered)

    def _refresh_rows(self, *places: int | None) -> None:
        for place in places:
            if place is not None:
                self.refresh_line(place)

    def _highlight_moved(self) -> None:
        self._show_highlighted()
        if self.highlighted is not None:
            self.post_message(self.Highlighted())

    def _show_highlighted(self) -> None:
        if self.highlighted is not None:
            width = self.scrollable_content_region.width
            row = Region(0, self.highlighted, width, 1)
            self.scroll_to_region(row, force=True, animate=False, immediate=True)

    def on_show(self) -> None:
        """Scroll to the highlight once the height is known."""
        self._show_highlighted()

    def notify_style_update(self) -> None:
        """Redraw all rows in the new colours."""
        super().notify_style_update()
        # The style of a row does not reveal which of its colours come from the theme.
        self._drawn.clear()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return one visible line."""
        place, width = y + self.scroll_offset.y, self.scrollable_content_region.width
        if place >= len(self.rows):
            return Strip.blank(width, self.get_visual_style("row-list--row").rich_style)
        row = self.rows[place]
        state: tuple[str, ...] = ()
        if place == self.highlighted:
            state = ("row-list--highlighted",)
        elif place == self.hovered and not row.disabled:
            state = ("row-list--hovered",)
        style = self.get_visual_style("row-list--row", *state)
        key = (row.row, width, style)
        if (strip := self._drawn.get(key)) is None:
            (strip,) = Visual.to_strips(self, Padding(row.row, _PADDING), width, 1, style)
            self._drawn[key] = strip
        return strip

    def on_click(self, event: events.Click) -> None:
        """Choose the clicked row."""
        place = self._place_at(event)
        if place is not None and not self.rows[place].disabled:
            self.highlighted = place
            self.post_message(self.Selected())

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Highlight the row that a click would choose."""
        self.hovered = self._place_at(event)

    def on_leave(self) -> None:
        """Clear the mark when the mouse leaves."""
        self.hovered = None

    def _place_at(self, event: events.MouseEvent) -> int | None:
        offset = event.get_content_offset(self)
        if offset is None or (place := offset.y + self.scroll_offset.y) >= len(self.rows):
            return None
        return place
