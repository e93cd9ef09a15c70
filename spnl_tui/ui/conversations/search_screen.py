"""Full-text search over everything that was said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from spnl_tui.errors import SpnlError
from spnl_tui.text import first_line, plain
from spnl_tui.ui.conversations.list import age
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from spnl_tui.conversations.storage.search import SearchFilter, SearchHit
    from spnl_tui.conversations.storage.store import Store

_TYPING_S = 0.1
"""Seconds after the last letter before the search begins."""
_DAYS = (1, 7, 30, 365)
"""The choices of how far back to search, in days."""


class SearchScreen(ModalScreen["SearchHit | None"]):
    """Searches while the user types. Enter chooses the highlighted hit."""

    CSS_PATH = "search_screen.tcss"
    BINDINGS = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("pagedown", "move(5)", "Page down", show=False),
        Binding("pageup", "move(-5)", "Page up", show=False),
        Binding("f2", "filter('model')", "Model", show=False),
        Binding("f3", "filter('tag')", "Tag", show=False),
        Binding("f4", "filter('days')", "Time", show=False),
    ]

    def __init__(self, store: Store, now: Callable[[], float], words: str = "") -> None:
        super().__init__()
        self._words = words
        self._store = store
        self._now = now
        self._hits: tuple[SearchHit, ...] = ()
        self._choices: dict[str, tuple[str | int, ...]] = {"model": (), "tag": (), "days": _DAYS}
        self._chosen: dict[str, str | int | None] = dict.fromkeys(self._choices)
        self.searched = ""
        """The words that the hits match."""

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Search"
            box.border_subtitle = "Enter goes there, Esc closes"
            yield Input(
                self._words, select_on_focus=False, placeholder='Words, "a phrase", -without', compact=True
            )
            yield Static(markup=False, id="filters")
            yield OptionList(markup=False)
            yield Static(markup=False, id="found")

    def on_mount(self) -> None:
        """Keep the focus in the line, from which the user moves through the hits."""
        self.query_one(OptionList).can_focus = False
        self._show_filters()
        self._find_choices()

    @work
    async def _find_choices(self) -> None:
        try:
            self._choices["model"], self._choices["tag"] = (
                await self._store.models(),
                await self._store.tags(),
            )
        except SpnlError as error:
            tell(self, error)

    def action_filter(self, name: str) -> None:
        """Restrict the search to the next model, tag or time; after the last one, to nothing."""
        choices = (None, *self._choices[name])
        self._chosen[name] = choices[(choices.index(self._chosen[name]) + 1) % len(choices)]
        self._show_filters()
        self._search(self.query_one(Input).value)

    def _show_filters(self) -> None:
        days = self._chosen["days"]
        shown = (
            ("F2", first_line(str(self._chosen["model"] or "any model"), 30)),
            ("F3", f"#{first_line(str(tag), 20)}" if (tag := self._chosen["tag"]) else "any tag"),
            ("F4", "any time" if days is None else "today" if days == 1 else f"the last {days} days"),
        )
        parts = [((f"{key} ", "$text-primary"), f"{what}   ") for key, what in shown]
        self.query_one("#filters", Static).update(Content.assemble(*(bit for part in parts for bit in part)))

    def _where(self) -> SearchFilter:
        from spnl_tui.conversations.storage.search import SearchFilter

        model, tag, days = (self._chosen[name] for name in ("model", "tag", "days"))
        return SearchFilter(
            model=None if model is None else str(model),
            tag=None if tag is None else str(tag),
            since=None if days is None else self._now() - float(days) * 86_400,
        )

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._search(event.value)

    @work(exclusive=True)
    async def _search(self, typed: str, *, now: bool = False) -> None:
        await asyncio.sleep(0 if now else _TYPING_S)
        try:
            result = await self._store.search(typed, self._where())
        except SpnlError as error:
            tell(self, error)
            return
        if not self.query(OptionList):
            return  # the screen was closed meanwhile
        self._hits, self.searched = result.hits, typed
        hits = self.query_one(OptionList)
        hits.set_options([Option(_lines(hit, self._now())) for hit in result.hits])
        hits.highlighted = 0 if result.hits else None
        count = len(result.hits)
        more = "There are more: add a word." if result.more else f"{count or 'Nothing'} found."
        self.query_one("#found", Static).update(more if typed.strip() else "")
        if now:
            self._go()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value == self.searched:
            self._go()
        else:  # Enter was faster than the search
            self._search(event.value, now=True)

    def _go(self) -> None:
        place = self.query_one(OptionList).highlighted
        if place is not None and place < len(self._hits):
            self.dismiss(self._hits[place])

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._hits[event.option_index])

    def action_move(self, by: int) -> None:
        """Highlight another hit."""
        hits = self.query_one(OptionList)
        if self._hits:
            hits.highlighted = max(0, min(len(self._hits) - 1, (hits.highlighted or 0) + by))


def _lines(hit: SearchHit, now: float) -> Content:
    """Return conversation and time, and below them the words in context."""
    who = {"user": "You", "assistant": "Reply", "system": "System", None: "Title"}[hit.role]
    return Content.assemble(
        (first_line(hit.title, 70) or "Untitled", "bold"),
        (f"  {age(hit.created_at, now)}", "dim"),
        (f"\n{who}: ", "$text-muted"),
        *((plain(span.text), "bold $text-warning") if span.hit else plain(span.text) for span in hit.snippet),
    )
