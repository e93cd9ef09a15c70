"""The help screen: all commands with their keys, as the user has set them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

_COLUMN = 20
"""Cells for the keys of a command, and for its id."""
_THREE_COLUMNS = 80
"""Cells needed for three columns. Below that, the id stands under the keys."""
_EMPTY = Content("")


@dataclass(frozen=True, slots=True)
class HelpEntry:
    """One command, as the help screen shows it."""

    keys: str
    """Its keys, separated by spaces."""
    id: str
    """Its name in the table [keys]."""
    text: str
    """What it does."""
    usage: str = ""
    """How to type it in the prompt; empty if that is not possible."""


class KeyGroup(Widget):
    """The commands of one group: their keys, ids and help.

    One widget draws them all. A widget for every cell took most of a second to lay out, while no key worked.
    """

    def __init__(self, title: str, rows: Iterable[HelpEntry]) -> None:
        super().__init__()
        self._title = title
        self._rows = list(rows)

    def lines(self, width: int) -> Iterator[Content]:
        """Yield the lines for this width."""
        yield Content.styled(self._title, "bold $text-primary")
        for row in self._rows:
            keys = Content.styled(row.keys, "bold").wrap(_COLUMN)
            name = Content.styled(row.id, "$foreground 60%")
            usage = f"  {row.usage}" if row.usage else ""
            text = Content.assemble(row.text, (usage, "$text-accent"))
            if width >= _THREE_COLUMNS:
                columns = [keys, [name], text.wrap(width - 2 * _COLUMN)]
            else:
                columns = [[*keys, name], text.wrap(width - _COLUMN)]
            for cells in zip_longest(*columns, fillvalue=_EMPTY):
                yield Content.assemble(
                    *(part for cell in cells[:-1] for part in (cell, " " * (_COLUMN - cell.cell_length))),
                    cells[-1],
                )

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return the number of lines."""
        return len(list(self.lines(width)))

    def render(self) -> Content:
        """Return the lines, joined."""
        return Content("\n").join(self.lines(self.size.width))


class HelpScreen(ModalScreen[None]):
    """Shows all commands by group."""

    CSS_PATH = "help_screen.tcss"
    BINDINGS = [Binding("escape,q,enter", "dismiss", "Close", show=False)]

    def __init__(self, groups: Mapping[str, Iterable[HelpEntry]]) -> None:
        super().__init__()
        self._groups = groups

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            for title, rows in self._groups.items():
                yield KeyGroup(title, rows)
            yield Static(
                "To change a key, add the command's name, such as chat.new, to [keys] in the configuration.",
                markup=False,
                classes="hint",
            )

    def on_mount(self) -> None:
        """Show the title and how to close the screen."""
        box = self.query_one(VerticalScroll)
        box.border_title = "Keys"
        box.border_subtitle = "Esc closes"
