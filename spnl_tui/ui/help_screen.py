"""All keys, as the user has set them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from spnl_tui.ui.command import Command
from spnl_tui.ui.command_table import COMMANDS
from spnl_tui.ui.commands import keys_of


class HelpScreen(ModalScreen[None]):
    """The table of commands, made from the one in `commands.py`."""

    CSS_PATH = "help_screen.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    BINDINGS = [Binding("escape,q,enter", "dismiss", "Close", show=False)]

    def __init__(self, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            for group, commands in groupby(COMMANDS, key=lambda command: command.group):
                yield Static(group, markup=False, classes="group")
                for command in commands:
                    keys = (
                        self.app.get_key_display(Binding(key, "")) for key in keys_of(command, self._keymap)
                    )
                    with Horizontal():
                        # Above each other where there is no room for three columns.
                        with Container(classes="names"):
                            yield Static(" ".join(keys), markup=False, classes="keys")
                            yield Static(command.id, markup=False, classes="id")
                        yield Static(_help(command), markup=False, classes="help")
            yield Static(
                "The table [keys] of the configuration changes a key, by its name, such as chat.new.",
                markup=False,
                classes="hint",
            )

    def on_mount(self) -> None:
        """Say what this is, and how to leave it."""
        box = self.query_one(VerticalScroll)
        box.border_title = "Keys"
        box.border_subtitle = "Esc closes"


def _help(command: Command) -> Content:
    slash = f"  /{command.slash} {command.argument}".rstrip() if command.slash else ""
    return Content.assemble(command.help, (slash, "$text-accent"))
