"""The menu of a row: what can be done with it, and the keys that do it without the menu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from spnl_tui.text import first_line

_LABEL = 16
_KEY = 12


@dataclass(frozen=True, slots=True)
class MenuItem:
    """One line of the menu."""

    id: str
    """The id of the command."""
    label: str
    keys: tuple[str, ...]
    """The keys in Textual's names."""
    shown_key: str
    help: str


class RowMenu(ModalScreen[str | None]):
    """Offers commands for one row. The result is the id of the chosen one.

    Enter runs the highlighted command. Each command's own key works in the menu, too.
    """

    CSS_PATH = "row_menu.tcss"
    BINDINGS = [Binding("escape,ctrl+x", "dismiss", "Close", show=False)]

    def __init__(self, title: str, items: Sequence[MenuItem]) -> None:
        super().__init__()
        self._title = title
        self._items = items

    def compose(self) -> ComposeResult:
        menu = OptionList(*(Option(_line(item), id=item.id) for item in self._items), markup=False)
        menu.border_title = Content(first_line(self._title, 60) or "This row")
        menu.border_subtitle = "Enter or its key runs it, Esc closes"
        yield menu

    def on_mount(self) -> None:
        """Highlight the first command."""
        self.query_one(OptionList).highlighted = 0

    def on_key(self, event: events.Key) -> None:
        """Run the command whose key this is, or highlight the next one that begins with the letter."""
        menu = self.query_one(OptionList)
        for item in self._items:
            if event.key in item.keys and event.key not in ("enter", "escape"):
                event.stop()
                self.dismiss(item.id)
                return
        if event.is_printable and event.character:
            event.stop()
            start = (menu.highlighted or 0) + 1
            for step in range(len(self._items)):
                place = (start + step) % len(self._items)
                if self._items[place].label.lower().startswith(event.character.lower()):
                    menu.highlighted = place
                    return

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)


def _line(item: MenuItem) -> Content:
    return Content.assemble(
        f"{item.label:<{_LABEL}}",
        (f"{item.shown_key:<{_KEY}}", "bold $text-primary"),
        (item.help, "$text-muted"),
    )
