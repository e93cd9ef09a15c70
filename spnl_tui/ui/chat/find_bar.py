"""The search line above the prompt."""

from __future__ import annotations

from collections.abc import Iterable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Input, Static

from spnl_tui.ui.messages import FindChanged, FindEarlierRequested
from spnl_tui.ui.widgets.scope import bind_keys


class FindBar(Horizontal):
    """Shows the words to find and how many turns contain them."""

    def __init__(self, bindings: Iterable[Binding]) -> None:
        super().__init__()
        bind_keys(self, bindings)
        self._input = Input(placeholder="Find in this conversation", compact=True, select_on_focus=False)
        self._about = Static(markup=False)
        self.display = False

    def compose(self) -> ComposeResult:
        yield self._input
        yield self._about

    def open(self, words: str) -> None:
        """Show the line with these words, or (empty) with the words before."""
        self.display = True
        if words:
            self._input.value = words
        self._input.action_end()
        self._input.focus()

    def close(self) -> None:
        """Hide the line."""
        self.display = False

    def tell(self, about: str) -> None:
        """Show what was found."""
        self._about.update(about)

    @property
    def words(self) -> str:
        """The words to find."""
        return self._input.value

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.screen.post_message(FindChanged())

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        # The line handles Enter itself, so no command can use it.
        event.stop()
        self.screen.post_message(FindEarlierRequested())
