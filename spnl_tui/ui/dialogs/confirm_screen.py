"""A yes-or-no question before a long or destructive action."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from spnl_tui.text import plain


class ConfirmScreen(ModalScreen[bool]):
    """Asks a question that one key answers."""

    CSS_PATH = "confirm_screen.tcss"
    BINDINGS = [
        Binding("y", "dismiss(True)", "Yes", show=False),
        Binding("n,escape", "dismiss(False)", "No", show=False),
    ]

    def __init__(self, question: str, why: str = "") -> None:
        super().__init__()
        self._question = question
        self._why = why

    def compose(self) -> ComposeResult:
        text = Content.assemble(
            (plain(self._question), "bold"),
            *((("\n" + plain(self._why)),) if self._why else ()),
            "\n\n",
            ("y", "bold $text-primary"),
            " yes   ",
            ("n", "bold $text-primary"),
            " no",
        )
        yield Static(text, markup=False)
