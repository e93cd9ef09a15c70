"""Several replies to one prompt, side by side where the width allows, and else one above the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from spnl_tui.chat.status import Activity, shortened, tokens_text
from spnl_tui.conversations.turn import Turn
from spnl_tui.ui.widgets.mounting import mount

if TYPE_CHECKING:
    from spnl_tui.ui.chat.turns import Reply

_COLUMN_WIDTH = 38
"""A reply is not readable in less; two such columns fit into 80 cells."""


_ROWS = 3
"""A candidate above another one is as high as that, at least."""
_SHORT_NAME = 20
"""Figures are left out rather than that a model's name is cut shorter than this."""


class _Head(Widget):
    """Number, label and figures, in a line."""

    def __init__(self, number: int, label: str, standing: tuple[str, ...]) -> None:
        super().__init__()
        self._number = number
        self._label = label
        self.standing = standing
        self.best = False

    def render(self) -> Content:
        """The line, as wide as the candidate."""
        width = self.size.width
        name = f"{'★ ' if self.best else ''}{self._number}"
        label = min(len(self._label), _SHORT_NAME)
        state = next((s for s in self.standing if len(name) + len(s) + label + 2 <= width), self.standing[-1])
        if self._label:
            name = f"{name} {shortened(self._label, max(1, width - len(name) - len(state) - 2))}"
        gap = " " * max(1, width - len(name) - len(state))
        return Content.assemble((name, "bold"), gap, state)


class Candidate(Vertical):
    """One of the replies: a head with its figures, and the text, which scrolls by itself."""

    @dataclass
    class Clicked(Message):
        """The user clicked on the candidate."""

        turn_id: str

    def __init__(self, number: int, turn: Turn, label: str, *, markdown: bool, show_thinking: bool) -> None:
        from spnl_tui.ui.chat.turns import Reply

        super().__init__()
        self.turn_id = turn.id
        self._streaming = turn.streaming
        self._head = _Head(number, label, standing(turn))
        self._body = VerticalScroll(can_focus=False)
        self.reply = Reply(turn, markdown=markdown, show_thinking=show_thinking)

    def compose(self) -> ComposeResult:
        yield self._head
        with self._body:
            yield self.reply

    def on_mount(self) -> None:
        """Stay at the end of what is being written."""
        if self._streaming:
            self._body.anchor()

    def on_click(self, event: events.Click) -> None:
        """With a mouse, a candidate is highlighted by a click."""
        event.stop()
        self.post_message(self.Clicked(self.turn_id))

    def progressed(self, turn: Turn, activity: Activity | None) -> None:
        """The reply has come so far."""
        self._head.standing = standing(turn, activity)
        self._head.refresh()
        if self._streaming and not turn.streaming:
            # Replies are compared from their beginnings.
            self._streaming = False
            # An anchor that is only released catches again where a reply is seen as a whole.
            self._body.anchor(False)
            self.call_after_refresh(self._show_beginning)

    def _show_beginning(self) -> None:
        self._body.scroll_home(animate=False, force=True)
        # An anchor moves a bar that is not seen above its beginning, and scrolling leaves it there.
        self._body.vertical_scrollbar.position = 0

    def limit(self, height: int | None) -> None:
        """Be at most so many lines high, the head included."""
        # The container takes the height of what is in the body, even where the body itself is lower.
        self.styles.max_height = height
        self._body.styles.max_height = None if height is None else height - 1

    @property
    def ended(self) -> bool:
        """Whether it is written."""
        return not self._streaming

    @property
    def needed(self) -> int:
        """The lines in which all of it is seen, the head included."""
        return 1 + self._body.virtual_size.height

    def page(self, direction: int) -> None:
        """Scroll by a page: up (-1) or down (1)."""
        self._body.release_anchor()
        self._body.scroll_relative(y=direction * max(1, self._body.size.height - 1), animate=False)

    def mark_best(self, best: bool) -> None:
        """Whether the judge holds it to be the best."""
        self._head.best = best
        self._head.refresh()


class Candidates(Vertical):
    """The candidates, and below them a line about what one can do, or what the judge said."""

    def __init__(self, *, markdown: bool, show_thinking: bool) -> None:
        super().__init__()
        self._markdown = markdown
        self._show_thinking = show_thinking
        self._cards = VerticalScroll(classes="cards", can_focus=False)
        self._foot = Static(markup=False, classes="foot")
        self._by_turn: dict[str, Candidate] = {}

    def compose(self) -> ComposeResult:
        yield self._cards
        yield self._foot

    async def show(self, turns: Sequence[Turn], labels: Sequence[str], chosen: str) -> None:
        """Show these, in place of what was shown."""
        with self.app.batch_update():
            await self._cards.remove_children()
            self._by_turn = {}
            for turn, label in zip(turns, labels, strict=True):
                await self.add(turn, label)
        self.mark(chosen)

    async def add(self, turn: Turn, label: str) -> None:
        """Show one more."""
        number = len(self._by_turn) + 1
        card = Candidate(number, turn, label, markdown=self._markdown, show_thinking=self._show_thinking)
        self._by_turn[turn.id] = card
        await mount(self._cards, card)

    async def clear(self) -> None:
        """Show nothing."""
        self._by_turn = {}
        await self._cards.remove_children()

    def mark(self, turn_id: str, *, best: str | None = None) -> None:
        """Highlight this one; `best` gets the judge's star."""
        for card in self._by_turn.values():
            card.set_class(card.turn_id == turn_id, "-chosen")
            if best is not None:
                card.mark_best(card.turn_id == best)
        self.call_after_refresh(self._arrange)

    def progressed(self, turn: Turn, activity: Activity | None) -> None:
        """One of them has come so far."""
        if (card := self._by_turn.get(turn.id)) is not None:
            card.progressed(turn, activity)
            if not turn.streaming:
                self.call_after_refresh(self._arrange)

    def say(self, text: Content) -> None:
        """Show this below the candidates."""
        self._foot.update(text)
        self.call_after_refresh(self._arrange)

    def widget(self, turn_id: str) -> Reply | None:
        """The reply of this id, if it is one of them."""
        card = self._by_turn.get(turn_id)
        return None if card is None else card.reply

    def page(self, direction: int) -> None:
        """Scroll the highlighted one by a page: up (-1) or down (1)."""
        for card in self._by_turn.values():
            if card.has_class("-chosen"):
                card.page(direction)

    def on_resize(self) -> None:
        """Columns need width."""
        self.call_after_refresh(self._arrange)

    def _arrange(self) -> None:
        """Share the room out. One above the other, the highlighted one has what the others leave.

        What a short one leaves goes to those that are cut, once all have ended: until then none moves.
        """
        count = len(self._by_turn)
        columns = count <= (self.size.width - 2) // _COLUMN_WIDTH
        if columns is not self.has_class("-columns"):
            self.call_after_refresh(self._arrange)  # by the heights that they then have
        self.set_class(columns, "-columns")
        self.set_class(not columns, "-rows")
        room = self._cards.size.height
        each = max(_ROWS, room // (count + 1))
        # The highlighted one comes first.
        cards = sorted(self._by_turn.values(), key=lambda card: not card.has_class("-chosen"))
        heights = [max(_ROWS, room - each * (count - 1)) if card is cards[0] else each for card in cards]
        spare = 0
        if all(card.ended for card in cards):
            spare = room - sum(min(card.needed, height) for card, height in zip(cards, heights, strict=True))
        for card, height in zip(cards, heights, strict=True):
            more = max(0, min(spare, card.needed - height))
            spare -= more
            card.limit(None if columns else height + more)
        for card in cards[:1]:
            card.scroll_visible(animate=False)


def standing(turn: Turn, activity: Activity | None = None) -> tuple[str, ...]:
    """Where a candidate stands, and its figures: in several lengths, the longest first."""
    if turn.streaming:
        match None if activity is None else activity.state:
            case "loading":
                return ("loading",)
            case "prefill" if activity is not None and activity.total:
                return (f"reading {activity.done:,}/{activity.total:,}", "reading")
            case "prefill":
                return ("reading the prompt", "reading")
            case "replying":
                assert activity is not None
                return (tokens_text(activity.tokens, activity.tokens_per_s), "replying")
            case _:
                return ("waiting",)
    end = {"stop": "done", "length": "cut off", "cancelled": "stopped"}.get(
        turn.finish_reason or "", "failed"
    )
    source = turn.provenance
    tokens, rate = (source.completion_tokens or 0, source.decode_tokens_per_s) if source else (0, None)
    if not tokens:
        return (end,)
    speed = (f"{end} · {rate:.0f}/s",) if rate else ()
    return (f"{end} · {tokens_text(tokens, rate)}", *speed, end)
