"""A dialog that asks for a line of text."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import ModalScreen
from textual.widgets import Input

from spnl_tui.text import first_line


class TextScreen(ModalScreen[str | None]):
    """Asks for a line of text. The result is None if the user cancels."""

    CSS_PATH = "text_screen.tcss"
    BINDINGS = [Binding("escape", "dismiss", "Close", show=False)]

    def __init__(self, title: str, value: str, *, may_be_empty: bool = False) -> None:
        super().__init__()
        self._may_be_empty = may_be_empty
        self._title = title
        self._value = first_line(value, 500)

    def compose(self) -> ComposeResult:
        line = Input(self._value, select_on_focus=False)
        line.border_title = self._title
        line.border_subtitle = "Enter keeps it, Esc does not"
        yield line

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        value = event.value.strip()
        self.dismiss(value if value or self._may_be_empty else None)
