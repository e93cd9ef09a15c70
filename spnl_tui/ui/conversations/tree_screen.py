"""All branches of a conversation at a glance."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from spnl_tui.conversations.attachments import words_of
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.text import first_line

_DEEPEST = 12
"""The deepest indentation, in forks."""


class TreeScreen(ModalScreen[str | None]):
    """Lists the turns of a conversation, indented at each fork. Enter goes to the highlighted one."""

    CSS_PATH = "tree_screen.tcss"
    BINDINGS = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("left", "fork(-1)", "Fork before", show=False),
        Binding("right", "fork(1)", "Next fork", show=False),
    ]

    def __init__(self, conversation: Conversation, at: str) -> None:
        """`at` is the id of the turn to highlight first."""
        super().__init__()
        self._rows = list(rows(conversation))
        self._active = frozenset(turn.id for turn in conversation.path())
        self._at = at

    def compose(self) -> ComposeResult:
        options = [self._option(*row) for row in self._rows]
        tree = OptionList(*options, markup=False)
        tree.border_title = f"The tree: {len(self._rows):,} turns"
        tree.border_subtitle = "Enter goes there, ←→ to the forks, Esc closes"
        yield tree

    def on_mount(self) -> None:
        """Highlight the turn where the user is."""
        ids = [turn.id for turn, _, _ in self._rows]
        for tree in self.query(OptionList):  # none if the program ends meanwhile
            tree.highlighted = ids.index(self._at) if self._at in ids else 0

    def action_fork(self, by: int) -> None:
        """Highlight the next turn that has siblings, in this direction."""
        tree = self.query_one(OptionList)
        place = (tree.highlighted or 0) + by
        while 0 <= place < len(self._rows):
            if self._rows[place][2][1] > 1:
                tree.highlighted = place
                return
            place += by

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._rows[event.option_index][0].id)

    def _option(self, turn: Turn, depth: int, place: tuple[int, int]) -> Option:
        active = turn.id in self._active
        depth = min(depth, _DEEPEST)
        rails = "│ " * (depth - 1) + ("├ " if place[1] > 1 else "│ ") if depth else ""
        text = Content(first_line(words_of(turn), 200) or _WITHOUT_TEXT.get(turn.finish_reason or "", "…"))
        return Option(
            Content.assemble(
                (rails, "$text-muted"),
                ("● " if active else "○ ", "$text-primary" if active else "$text-muted"),
                (f"{place[0]}/{place[1]} " if place[1] > 1 else "", "$text-warning"),
                ("You: " if turn.role == "user" else "Reply: ", "bold" if active else "$text-muted"),
                text if active else text.stylize("$text-muted"),
            )
        )


_WITHOUT_TEXT = {"cancelled": "(stopped)", "failed": "(failed)", "stop": "(empty)", "length": "(empty)"}


def rows(conversation: Conversation) -> Iterator[tuple[Turn, int, tuple[int, int]]]:
    """Yield every turn, branch by branch, with the forks above it and its place among its siblings."""
    waiting = [(turn, 0) for turn in reversed(conversation.children(None))]
    while waiting:
        turn, depth = waiting.pop()
        siblings = conversation.siblings(turn.id)
        depth += len(siblings) > 1
        yield turn, depth, (siblings.index(turn) + 1, len(siblings))
        waiting += [(child, depth) for child in reversed(conversation.children(turn.id))]
