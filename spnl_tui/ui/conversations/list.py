"""The list of conversations beside the chat."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from spnl_tui.text import first_line, plain
from spnl_tui.ui.widgets.typed_filter import filter_after_key

if TYPE_CHECKING:
    from spnl_tui.conversations.storage.rows import ConversationSummary

_LONGEST_FILTER = 200
"""Characters."""
_AHEAD = 10
"""More conversations are requested when so few are left below the highlighted one."""


class ConversationList(OptionList):
    """Lists titles and times, pinned ones first. It asks for more when its end comes near."""

    @dataclass
    class FilterChanged(Message):
        """The user has changed the filter."""

    @dataclass
    class PastedForPrompt(Message):
        """The user has pasted a text longer than any title."""

        paste: events.Paste

    @dataclass
    class MoreWanted(Message):
        """The end of the list is near."""

    def __init__(self, *, id: str, now: Callable[[], float] = time.time) -> None:
        super().__init__(id=id, markup=False)
        self._now = now
        self._items: list[ConversationSummary] = []
        self._archived = False
        self.filter = ""
        """The filter. Only conversations with it in the title or a tag are listed."""
        self._current: str | None = None
        self._replying: frozenset[str] = frozenset()
        self._unread: frozenset[str] = frozenset()
        self.display = False

    @property
    def items(self) -> tuple[ConversationSummary, ...]:
        """The listed conversations."""
        return tuple(self._items)

    @property
    def chosen(self) -> ConversationSummary | None:
        """The highlighted conversation."""
        option = self.highlighted_option
        return next((item for item in self._items if option is not None and item.id == option.id), None)

    def fill(
        self,
        items: Sequence[ConversationSummary],
        *,
        current: str,
        replying: frozenset[str] = frozenset(),
        unread: frozenset[str] = frozenset(),
        archived: bool = False,
    ) -> None:
        """List these by day. Mark the visible one, and those with a reply in progress or not yet seen.

        The highlight stays where it was.
        """
        before, ids_before = self.chosen, [item.id for item in self._items]
        place = ids_before.index(before.id) if before is not None else 0
        self._items, self._current, self._replying = list(items), current, replying
        self._unread = unread
        self._archived = archived
        self._show_filter()
        self.set_options(self._lines_of(self._items))
        ids = [item.id for item in items]
        if before is not None and before.id in ids:
            place = ids.index(before.id)
        elif self.filter:
            place = 0
        elif before is None and current in ids:
            place = ids.index(current)
        self.highlighted = self.get_option_index(ids[min(place, len(ids) - 1)]) if ids else None
        if place == 0:
            self.scroll_to(y=0, animate=False)  # with the first heading

    def take_filter(self) -> str:
        """Stop filtering, and return what was typed."""
        typed, self.filter = self.filter, ""
        self._show_filter()
        return typed

    def on_key(self, event: events.Key) -> None:
        """Filter by what is typed. A key that the user has given to a command is the command's."""
        if (filter := filter_after_key(self.filter, event, self)) is not None:
            self.filter_by(filter)

    def on_paste(self, event: events.Paste) -> None:
        """Filter by a pasted line; longer texts are for the prompt."""
        event.stop()
        text = plain(event.text)
        if len(text) > _LONGEST_FILTER or "\n" in text.strip():
            self.post_message(self.PastedForPrompt(event))
        else:
            self.filter_by(self.filter + text.strip())

    def filter_by(self, typed: str) -> None:
        """Filter by this text."""
        self.filter = typed
        self._show_filter()
        self.post_message(self.FilterChanged())

    def _show_filter(self) -> None:
        title = "Archive" if self._archived else "Chats"
        typed = self.filter or "type to filter"
        self.border_title = Content.assemble(title, " · ", typed)
        nothing = self.filter and not self._items
        self.border_subtitle = Content("none; Esc: to the prompt" if nothing else "● replying  ◦ unread")

    def extend(self, items: Sequence[ConversationSummary]) -> None:
        """Add these at the end."""
        last = self._group(self._items[-1]) if self._items else ""
        self._items += items
        self.add_options(self._lines_of(items, after=last))

    def watch_highlighted(self, highlighted: int | None) -> None:
        """Ask for more when the end is near."""
        super().watch_highlighted(highlighted)
        if highlighted is not None and highlighted >= self.option_count - _AHEAD:
            self.post_message(self.MoreWanted())

    def on_resize(self) -> None:
        """Draw the lines again for the new width."""
        place = self.highlighted
        self.set_options(self._lines_of(self._items))
        self.highlighted = place

    def _group(self, item: ConversationSummary) -> str:
        return "Pinned" if item.pinned else day_group(item.updated_at, self._now())

    def _lines_of(self, items: Sequence[ConversationSummary], after: str = "") -> list[Option]:
        """Return the lines, with a heading wherever the day changes. `after` is the last heading before."""
        options: list[Option] = []
        for item in items:
            if (group := self._group(item)) != after:
                options.append(Option(Content.styled(group, "bold $text-primary"), disabled=True))
                after = group
            options.append(self._option(item))
        return options

    def _option(self, item: ConversationSummary) -> Option:
        when = age(item.updated_at, self._now())
        here = "▸" if item.id == self._current else " "
        state = "●" if item.id in self._replying else "◦" if item.id in self._unread else " "
        room = max(8, self.scrollable_content_region.width - 2 - 4 - len(when))
        tags = "".join(f" #{first_line(tag, 40)}" for tag in item.tags)
        title = Content.assemble(first_line(item.title, 200) or "Untitled", (tags, "$text-muted"))
        title = title.truncate(room, ellipsis=True, pad=True)
        mark = (f"{here}{state} ", "bold $text-primary")
        line = Content.assemble(mark, title, (f" {when}", "dim"))
        return Option(line, id=item.id)


def day_group(then: float, now: float) -> str:
    """Return the heading for a time: the day if recent, else the month."""
    day, today = datetime.fromtimestamp(then), datetime.fromtimestamp(now)
    days = (today.date() - day.date()).days
    if days < 2:
        return "Yesterday" if days == 1 else "Today"
    if days < 7:
        return "Last 7 days"
    if days < 30:
        return "Last 30 days"
    return f"{day:%B}" if day.year == today.year else f"{day:%B %Y}"


def age(then: float, now: float) -> str:
    """Return a time in at most six characters: the hour if today, else the day, else the year."""
    day, today = datetime.fromtimestamp(then), datetime.fromtimestamp(now)
    if day.date() == today.date():
        return f"{day:%H:%M}"
    if 0 <= (today.date() - day.date()).days < 7:
        return f"{day:%a}"
    return f"{day.day} {day:%b}" if day.year == today.year else f"{day:%Y}"
