"""The list of permissions, of which the user revokes some."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from spnl_tui.tools.inert import inert
from spnl_tui.tools.permissions import Rule


class PermissionsScreen(ModalScreen[int | None]):
    """Lists rules. The result is the number of the rule to revoke; None if the user closes the list."""

    CSS_PATH = "permissions_screen.tcss"
    BINDINGS = [
        Binding("escape", "dismiss", "Close", show=False),
        Binding("delete,d,r", "revoke", "Revoke", show=False),
    ]

    def __init__(self, rules: Sequence[tuple[str, Rule]]) -> None:
        super().__init__()
        self._rules = rules

    def compose(self) -> ComposeResult:
        options = OptionList(
            *(
                Option(Content.assemble(f"{inert(str(rule)):<40}  ", (kind, "$text-muted")))
                for kind, rule in self._rules
            ),
            markup=False,
        )
        options.border_title = "Permissions"
        options.border_subtitle = "Enter revokes, Esc closes"
        yield options

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)

    def action_revoke(self) -> None:
        """Revoke the highlighted rule."""
        highlighted = self.query_one(OptionList).highlighted
        if highlighted is not None:
            self.dismiss(highlighted)
