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
from spnl_tui.ui.toasts import tell
from spnl_tui.ui.widgets.talks_list import age

if TYPE_CHECKING:
    from spnl_tui.conversations.search import SearchHit
    from spnl_tui.conversations.store import Store

_TYPING_S = 0.1
"""So long after the last letter the search begins."""


class SearchScreen(ModalScreen["SearchHit | None"]):
    """Searches as one types; the highlighted hit is what Enter chooses."""

    CSS_PATH = "search_screen.tcss"
    BINDINGS = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("pagedown", "move(5)", "Page down", show=False),
        Binding("pageup", "move(-5)", "Page up", show=False),
    ]

    def __init__(self, store: Store, now: Callable[[], float], words: str = "") -> None:
        super().__init__()
        self._words = words
        self._store = store
        self._now = now
        self._hits: tuple[SearchHit, ...] = ()
        self.searched = ""
        """What the hits are for."""

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Search"
            box.border_subtitle = "Enter goes there, Esc closes"
            yield Input(
                self._words, select_on_focus=False, placeholder='Words, "a phrase", -without', compact=True
            )
            yield OptionList(markup=False)
            yield Static(markup=False)

    def on_mount(self) -> None:
        """The keys go to the line; the hits are moved through from there."""
        self.query_one(OptionList).can_focus = False

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._search(event.value)

    @work(exclusive=True)
    async def _search(self, typed: str, *, now: bool = False) -> None:
        await asyncio.sleep(0 if now else _TYPING_S)
        try:
            result = await self._store.search(typed)
        except SpnlError as error:
            tell(self, error)
            return
        self._hits, self.searched = result.hits, typed
        hits = self.query_one(OptionList)
        hits.set_options([Option(_lines(hit, self._now())) for hit in result.hits])
        hits.highlighted = 0 if result.hits else None
        count = len(result.hits)
        more = "There are more: add a word." if result.more else f"{count or 'Nothing'} found."
        self.query_one(Static).update(more if typed.strip() else "")
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
    """The conversation and the time, and below them the words in context."""
    who = {"user": "You", "assistant": "Reply", "system": "System", None: "Title"}[hit.role]
    return Content.assemble(
        (first_line(hit.title, 70) or "Untitled", "bold"),
        (f"  {age(hit.created_at, now)}", "dim"),
        (f"\n{who}: ", "$text-muted"),
        *((plain(span.text), "bold $text-warning") if span.hit else plain(span.text) for span in hit.snippet),
    )
