"""The turns of the conversation on the screen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from spnl_tui.conversations.turn import Turn
from spnl_tui.text import plain
from spnl_tui.ui.widgets.background import restart, start
from spnl_tui.ui.widgets.mounting import mount

if TYPE_CHECKING:
    from spnl_tui.ui.chat.turns import CountTexts, Preview, Reply, Thinking

_FIRST_LINES = 100
"""Approximate lines of a conversation to mount at first; one Markdown takes some 30 ms to mount."""
_AROUND = 12
"""Turns to show from the one on that the user jumps to."""
_MORE_LINES = 150
"""Lines to mount when the user scrolls up to the first one."""


class Transcript(VerticalScroll, can_focus=False):
    """Turns, the latest at the bottom. The bottom stays in view unless the user scrolls up.

    Of a long conversation only the end is mounted; the rest comes when the user scrolls to it.
    """

    def __init__(self, *, markdown: bool = True, show_thinking: bool = False) -> None:
        super().__init__()
        self.branch_keys = ""
        """The keys that go to the siblings of a turn, for the line that counts them."""
        self.place: Callable[[Turn], tuple[int, int]] = lambda turn: (1, 1)
        """Returns the number of a turn among its siblings, and how many there are. Called on mounting."""
        self.count_texts: CountTexts | None = None
        self.preview: Preview | None = None
        """Counts the tokens of attached files."""
        self._markdown = markdown
        self._show_thinking = show_thinking
        self._column = Vertical(classes="column")
        self._older: list[Turn] = []
        self._newer: list[Turn] = []
        """Turns below those shown, after the user has jumped far up."""
        self._memory_begins: str | None = None
        self._summary = ""
        self._sought: re.Pattern[str] | None = None
        self._found: frozenset[str] = frozenset()
        self._loading_older = False
        self._queued: Static | None = None

    def on_mount(self) -> None:
        """Mount the column and stay at the bottom."""
        self.mount(self._column)
        self.anchor()

    async def show(self, turns: Sequence[Turn]) -> None:
        """Show the end of this conversation in place of the one before."""
        await self._show_until(turns, len(turns))
        self.follow()

    async def _show_until(self, turns: Sequence[Turn], end: int) -> None:
        self._queued = None
        self._older, self._newer = list(turns[:end]), list(turns[end:])
        with self.app.batch_update():
            await self._column.remove_children()
            await self._mount_older(_FIRST_LINES)
            if self._newer:
                text = f"… {len(self._newer):,} later turns: End shows them"
                await mount(self._column, Static(text, markup=False, classes="later"))

    async def add(self, turn: Turn) -> Widget:
        """Add a turn at the end."""
        await self._show_newer()
        widget = self._widget(turn)
        await mount(self._column, widget, before=self._queued)
        return widget

    async def remove_from(self, turn_id: str) -> bool:
        """Remove this turn and those below it from the screen. Returns False if it is not mounted."""
        widgets = list(self._column.children)
        for place, widget in enumerate(widgets):
            if widget.name == turn_id:
                self._newer = []
                await self._column.remove_children([w for w in widgets[place:] if w is not self._queued])
                return True
        return False

    async def reveal(self, turn_id: str) -> None:
        """Bring a turn into view, near the top. Turns far from it are not mounted."""
        if self._mounted(turn_id) is None:
            shown = self._shown()
            turns = [*self._older, *shown, *self._newer]
            place = next((n for n, turn in enumerate(turns) if turn.id == turn_id), None)
            if place is None:
                return
            await self._show_until(turns, min(len(turns), place + _AROUND))
            while self._mounted(turn_id) is None and self._older:
                await self._mount_older(_MORE_LINES)
        widget = self._mounted(turn_id)
        if widget is None:
            return
        self.release_anchor()
        # Heights become known with the next layouts, not all with the first.
        for _ in range(4):
            refreshed = asyncio.Event()
            self.call_after_refresh(refreshed.set)
            await refreshed.wait()
            if widget.is_attached:
                self.scroll_to(y=max(0, widget.virtual_region.y - 1), animate=False, immediate=True)

    def mark(self, turn_id: str | None) -> None:
        """Show the cursor on this turn, or (None) on none."""
        for widget in self._column.children:
            widget.set_class(turn_id is not None and widget.name == turn_id, "-cursor")

    async def count_files(self) -> None:
        """Count the tokens of files again that could not be counted before the model was loaded."""
        from spnl_tui.ui.chat.turns import UserTurn

        for widget in self._column.query_children(UserTurn):
            await widget.count_files()

    def mark_pinned(self, turn: Turn) -> None:
        """Mark this turn as pinned, or no longer."""
        if (widget := self._mounted(turn.id)) is not None:
            widget.set_class(turn.pinned, "-pinned")

    def mark_found(self, sought: re.Pattern[str] | None, turn_ids: Iterable[str]) -> None:
        """Mark these turns and the matches in them."""
        self._sought, self._found = sought, frozenset(turn_ids)
        for widget in self._column.children:
            widget.set_class(widget.name in self._found, "-found")
            for part in widget.walk_children(with_self=True):
                part.refresh()

    def reveal_found(self, turn_id: str) -> None:
        """Scroll to the first match in a mounted turn, unless it is in view."""
        from spnl_tui.ui.chat.reply_text import Prose

        turn = self._mounted(turn_id)
        if turn is None or self._sought is None:
            return
        for prose in turn.query(Prose):
            if (line := prose.line_of(self._sought)) is not None:
                height = self.scrollable_content_region.height
                y = line + sum(part.virtual_region.y for part in (prose, *_between(prose, self)))
                if not self.scroll_y <= y < self.scroll_y + height:
                    self.scroll_to(y=y - height // 3, animate=False, immediate=True)
                return

    def remember_from(self, turn_id: str | None, summary: str = "") -> None:
        """Mark the turn with which the model's memory begins; None if it remembers everything.

        `summary` is what it knows of the turns before.
        """
        if (turn_id, summary) == (self._memory_begins, self._summary):
            return
        self._memory_begins, self._summary = turn_id, summary
        self._column.query_children(".summary").remove()
        for widget in self._column.children:
            if widget.name is not None:
                self._mark_memory(widget)
        if summary and turn_id and (begins := self._mounted(turn_id)) is not None:
            self._column.mount(self._summary_widget(), before=begins)

    def _summary_widget(self) -> Thinking:
        from spnl_tui.ui.chat.turns import Thinking

        widget = Thinking(folded=True, done="Summary of the turns above", classes="summary")
        widget.show(plain(self._summary), done=True)
        return widget

    def toggle_summary(self) -> None:
        """Fold or unfold the summary of the left-out turns, if there is one."""
        from spnl_tui.ui.chat.turns import Thinking

        for summary in self._column.query_children(".summary").results(Thinking):
            summary.fold(not summary.folded)

    @property
    def summarized(self) -> bool:
        """True if the model knows a summary in place of left-out turns."""
        return bool(self._summary and self._memory_begins)

    def _mark_memory(self, widget: Widget) -> None:
        begins = widget.name == self._memory_begins
        widget.set_class(begins, "-memory")
        widget.border_title = "the model remembers from here" if begins else ""

    def _mounted(self, turn_id: str) -> Widget | None:
        return next((widget for widget in reversed(self._column.children) if widget.name == turn_id), None)

    def _shown(self) -> list[Turn]:
        from spnl_tui.ui.chat.turns import Reply, UserTurn

        return [widget.turn for widget in self._column.children if isinstance(widget, UserTurn | Reply)]

    async def _show_newer(self) -> None:
        """Show the end again after the user has jumped far up."""
        if self._newer:
            shown = self._shown()
            await self.show([*self._older, *shown, *self._newer])

    async def show_queued(self, text: str, why: str) -> None:
        """Show a prompt that waits, and what for; an empty text removes it."""
        if not text:
            queued, self._queued = self._queued, None
            if queued is not None:
                await queued.remove()
            return
        from spnl_tui.conversations.attachments import split
        from spnl_tui.ui.chat.turns import prompt_content

        shown = prompt_content(*split(text)).stylize("dim")
        hint = Content.assemble(shown, (f"\n{why}", "dim italic"))
        if self._queued is not None:
            self._queued.update(hint)
        else:
            self._queued = Static(hint, markup=False, classes="queued")
            await mount(self._column, self._queued)

    def follow(self) -> None:
        """Scroll to the end and stay there as the conversation grows."""
        if self._newer:
            restart(self, "follow", self._follow_to_newer)
        elif not self.following:
            self.anchor()

    async def _follow_to_newer(self) -> None:
        await self._show_newer()
        self.anchor()

    def page(self, direction: int) -> None:
        """Scroll by a page: up (-1) or down (1)."""
        self.scroll_relative(y=direction * (self.scrollable_content_region.height - 1), animate=False)

    @property
    def following(self) -> bool:
        """True while the end stays in view."""
        return self._anchored and not self._anchor_released

    def reply(self, turn_id: str) -> Reply | None:
        """Return the mounted reply with this id, or None."""
        from spnl_tui.ui.chat.turns import Reply

        widget = self._mounted(turn_id)
        return widget if isinstance(widget, Reply) else None

    def last_reply(self) -> Reply | None:
        """Return the last mounted reply, or None."""
        if not self._column.children:
            return None  # the first paint asks, and needs no turns
        from spnl_tui.ui.chat.turns import Reply

        return next((w for w in reversed(self._column.children) if isinstance(w, Reply)), None)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Mount earlier turns once the user scrolls to the top."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < 2 and new_value < old_value and self._older and not self._loading_older:
            self._loading_older = True
            start(self, "older", self._extend_upwards)

    async def _extend_upwards(self) -> None:
        try:
            first = self._column.children[0]
            offset = first.virtual_region.y - self.scroll_y
            await self._mount_older(_MORE_LINES)
            # Heights become known with the next layouts, not all at once. Keep the top line in place.
            for _ in range(4):
                refreshed = asyncio.Event()
                self.call_after_refresh(refreshed.set)
                await refreshed.wait()
                self.scroll_to(y=first.virtual_region.y - offset, animate=False, immediate=True)
        finally:
            self._loading_older = False

    async def _mount_older(self, lines: int) -> None:
        """Mount about this many lines of the earlier turns, the latest first."""
        from spnl_tui.conversations.attachments import words_of

        width = max(40, min(self.size.width, 110))
        chosen: list[Turn] = []
        # Do not mount a reply without the prompt above it.
        while self._older and (lines > 0 or chosen[-1].role == "assistant"):
            turn = self._older.pop()
            chosen.append(turn)
            text = words_of(turn)
            lines -= 2 + text.count("\n") + len(text) // width
        if chosen:
            widgets: list[Widget] = []
            for turn in reversed(chosen):
                if self._summary and turn.id == self._memory_begins:
                    widgets.append(self._summary_widget())
                widgets.append(self._widget(turn))
            await mount(self._column, *widgets, before=0 if self._column.children else None)

    def _widget(self, turn: Turn) -> Widget:
        from spnl_tui.ui.chat.turns import Reply, UserTurn  # with Markdown, which the first paint has not

        widget: Widget
        if turn.role == "assistant":
            place = self.place(turn)
            widget = Reply(
                turn,
                place,
                branch_keys=self.branch_keys,
                markdown=self._markdown,
                show_thinking=self._show_thinking,
                sought=lambda: self._sought,
            )
        else:
            widget = UserTurn(
                turn,
                self.place(turn),
                count=self.count_texts,
                preview=self.preview,
                branch_keys=self.branch_keys,
                sought=lambda: self._sought,
            )
        widget.set_class(turn.id in self._found, "-found")
        self._mark_memory(widget)
        widget.set_class(turn.pinned, "-pinned")
        return widget


def _between(widget: Widget, ancestor: Widget) -> Iterator[Widget]:
    """Yield the widgets around this one within the ancestor, from the inside out."""
    parent = widget.parent
    while isinstance(parent, Widget) and parent is not ancestor:
        yield parent
        parent = parent.parent
