"""A dialog that shows facts, one line each."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from spnl_tui.text import plain

_NAME = 16


class InfoScreen(ModalScreen[None]):
    """Shows names and values. An empty name begins a new paragraph."""

    CSS_PATH = "info_screen.tcss"
    BINDINGS = [Binding("escape,enter,q", "dismiss", "Close", show=False)]

    def __init__(self, title: str, facts: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._facts = facts

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = self._title
            box.border_subtitle = "Esc closes"
            lines = [
                Content.assemble((f"{plain(name):<{_NAME}}", "$text-muted"), plain(value))
                for name, value in self._facts
            ]
            yield Static(Content("\n").join(lines), markup=False)
