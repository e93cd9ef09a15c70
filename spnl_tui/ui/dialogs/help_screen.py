"""All keys, as the user has set them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from spnl_tui.ui.commands.command import Command
from spnl_tui.ui.commands.registry import keys_of
from spnl_tui.ui.commands.table import COMMANDS

_COLUMN = 20
"""Cells for the keys of a command, and for its name."""
_THREE_COLUMNS = 80
"""Cells from which there is room for three columns: in fewer, a name stands below its keys."""
_EMPTY = Content("")


class KeyGroup(Widget):
    """Commands of one group: their keys, the names by which these are changed, and what they do.

    In one widget: a widget of every cell took most of a second to lay out, in which no key was answered.
    """

    def __init__(self, title: str, rows: Iterable[tuple[str, Command]]) -> None:
        """`rows` are the commands, each with its keys as they are shown."""
        super().__init__()
        self._title = title
        self._rows = list(rows)

    def lines(self, width: int) -> Iterator[Content]:
        """What is shown at this width."""
        yield Content.styled(self._title, "bold $text-primary")
        for keys, command in self._rows:
            shown, name = (
                Content.styled(keys, "bold").wrap(_COLUMN),
                Content.styled(command.id, "$foreground 60%"),
            )
            if width >= _THREE_COLUMNS:
                columns = [shown, [name], _help(command).wrap(width - 2 * _COLUMN)]
            else:
                columns = [[*shown, name], _help(command).wrap(width - _COLUMN)]
            for cells in zip_longest(*columns, fillvalue=_EMPTY):
                yield Content.assemble(
                    *(part for cell in cells[:-1] for part in (cell, " " * (_COLUMN - cell.cell_length))),
                    cells[-1],
                )

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as it takes."""
        return len(list(self.lines(width)))

    def render(self) -> Content:
        """The lines, joined."""
        return Content("\n").join(self.lines(self.size.width))


class HelpScreen(ModalScreen[None]):
    """The table of commands, made from the one in `command_table.py`."""

    CSS_PATH = "help_screen.tcss"
    BINDINGS = [Binding("escape,q,enter", "dismiss", "Close", show=False)]

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            for group in dict.fromkeys(command.group for command in COMMANDS):
                commands = [command for command in COMMANDS if command.group == group]
                yield KeyGroup(group, [(self._keys_of(command), command) for command in commands])
            yield Static(
                "The table [keys] of the configuration changes a key, by its name, such as chat.new.",
                markup=False,
                classes="hint",
            )

    def _keys_of(self, command: Command) -> str:
        keys = keys_of(command, self._keymap)
        return " ".join(self.app.get_key_display(Binding(key, "")) for key in keys)

    def on_mount(self) -> None:
        """Say what this is, and how to leave it."""
        box = self.query_one(VerticalScroll)
        box.border_title = "Keys"
        box.border_subtitle = "Esc closes"


def _help(command: Command) -> Content:
    slash = f"  /{command.slash} {command.argument}".rstrip() if command.slash else ""
    return Content.assemble(command.help, (slash, "$text-accent"))
