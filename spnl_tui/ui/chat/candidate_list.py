"""The widgets of candidates: side by side if the width allows it, else one above the other."""

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
"""The least width for a readable reply; two such columns fit into 80 cells."""


_ROWS = 3
"""The least height of a candidate above another one."""
_SHORT_NAME = 20
"""Characters of a model's name that are shown before any figures."""


class _Head(Widget):
    """The line with number, label and figures."""

    def __init__(self, number: int, label: str, standing: tuple[str, ...]) -> None:
        super().__init__()
        self._number = number
        self._label = label
        self.standing = standing
        self.best = False

    def render(self) -> Content:
        """Return the line, as wide as the candidate."""
        width = self.size.width
        name = f"{'★ ' if self.best else ''}{self._number}"
        label = min(len(self._label), _SHORT_NAME)
        state = next((s for s in self.standing if len(name) + len(s) + label + 2 <= width), self.standing[-1])
        if self._label:
            name = f"{name} {shortened(self._label, max(1, width - len(name) - len(state) - 2))}"
        gap = " " * max(1, width - len(name) - len(state))
        return Content.assemble((name, "bold"), gap, state)


class Candidate(Vertical):
    """One candidate: a head with its figures, and its own scrollable text."""

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
        """Keep the end of the text in view while the model writes."""
        if self._streaming:
            self._body.anchor()

    def on_click(self, event: events.Click) -> None:
        """Highlight the candidate on a click."""
        event.stop()
        self.post_message(self.Clicked(self.turn_id))

    def progressed(self, turn: Turn, activity: Activity | None) -> None:
        """Show the progress of the reply."""
        self._head.standing = standing(turn, activity)
        self._head.refresh()
        if self._streaming and not turn.streaming:
            # The user compares replies from their beginnings.
            self._streaming = False
            # An anchor that is only released catches again if the whole reply is in view.
            self._body.anchor(False)
            self.call_after_refresh(self._show_beginning)

    def _show_beginning(self) -> None:
        self._body.scroll_home(animate=False, force=True)
        # An anchor moves a hidden scroll bar above its beginning, and scrolling leaves it there.
        self._body.vertical_scrollbar.position = 0

    def limit(self, height: int | None) -> None:
        """Limit the height, including the head, to this many lines."""
        # The container takes the height of the body's content, even if the body itself is lower.
        self.styles.max_height = height
        self._body.styles.max_height = None if height is None else height - 1

    @property
    def ended(self) -> bool:
        """True if the reply is complete."""
        return not self._streaming

    @property
    def needed(self) -> int:
        """The lines that the whole candidate needs, including the head."""
        return 1 + self._body.virtual_size.height

    def page(self, direction: int) -> None:
        """Scroll by a page: up (-1) or down (1)."""
        self._body.release_anchor()
        self._body.scroll_relative(y=direction * max(1, self._body.size.height - 1), animate=False)

    def mark_best(self, best: bool) -> None:
        """Show or hide the judge's star."""
        self._head.best = best
        self._head.refresh()


class Candidates(Vertical):
    """The candidates, and below them a line with the keys or the verdict."""

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
        """Show these candidates in place of those before."""
        with self.app.batch_update():
            await self._cards.remove_children()
            self._by_turn = {}
            for turn, label in zip(turns, labels, strict=True):
                await self.add(turn, label)
        self.mark(chosen)

    async def add(self, turn: Turn, label: str) -> None:
        """Show one more candidate."""
        number = len(self._by_turn) + 1
        card = Candidate(number, turn, label, markdown=self._markdown, show_thinking=self._show_thinking)
        self._by_turn[turn.id] = card
        await mount(self._cards, card)

    async def clear(self) -> None:
        """Remove all candidates."""
        self._by_turn = {}
        await self._cards.remove_children()

    def mark(self, turn_id: str, *, best: str | None = None) -> None:
        """Highlight this candidate; `best` gets the judge's star."""
        for card in self._by_turn.values():
            card.set_class(card.turn_id == turn_id, "-chosen")
            if best is not None:
                card.mark_best(card.turn_id == best)
        self.call_after_refresh(self._arrange)

    def progressed(self, turn: Turn, activity: Activity | None) -> None:
        """Show the progress of one candidate."""
        if (card := self._by_turn.get(turn.id)) is not None:
            card.progressed(turn, activity)
            if not turn.streaming:
                self.call_after_refresh(self._arrange)

    def say(self, text: Content) -> None:
        """Show this text below the candidates."""
        self._foot.update(text)
        self.call_after_refresh(self._arrange)

    def widget(self, turn_id: str) -> Reply | None:
        """Return the reply of the candidate with this id, or None."""
        card = self._by_turn.get(turn_id)
        return None if card is None else card.reply

    def page(self, direction: int) -> None:
        """Scroll the highlighted candidate by a page: up (-1) or down (1)."""
        for card in self._by_turn.values():
            if card.has_class("-chosen"):
                card.page(direction)

    def on_resize(self) -> None:
        """Arrange the candidates for the new width."""
        self.call_after_refresh(self._arrange)

    def _arrange(self) -> None:
        """Divide the space. In rows, the highlighted candidate gets what the others leave.

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
    """Return the state and figures of a candidate in several lengths, the longest first."""
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
