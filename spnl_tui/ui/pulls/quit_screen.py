"""The dialog that asks about running pulls on quitting."""

from __future__ import annotations

from typing import Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from spnl_tui.ui.pulls.captions import counted

Choice = Literal["pause", "cancel"]


class QuitScreen(ModalScreen[Choice | None]):
    """Pause and quit, cancel and quit, or (None) stay."""

    CSS_PATH = "quit_screen.tcss"
    BINDINGS = [
        Binding("p", "dismiss('pause')", "Pause and quit", show=False),
        Binding("c", "dismiss('cancel')", "Cancel and quit", show=False),
        Binding("s,escape", "dismiss", "Stay", show=False),
    ]

    def __init__(self, under_way: int) -> None:
        super().__init__()
        self._under_way = under_way

    def compose(self) -> ComposeResult:
        options = OptionList(
            Option(_line("p", "Pause and quit", "the next start offers to go on"), id="pause"),
            Option(_line("c", "Cancel and quit", "what has come is deleted"), id="cancel"),
            Option(_line("s", "Stay", ""), id="stay"),
            markup=False,
        )
        options.border_title = f"{counted(self._under_way)} under way"
        options.highlighted = 0
        yield options

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        match event.option_id:
            case "pause" | "cancel" as choice:
                self.dismiss(choice)
            case _:
                self.dismiss(None)


def _line(key: str, what: str, why: str) -> Content:
    return Content.assemble((key, "bold"), f"  {what:<17}", (why, "dim"))
