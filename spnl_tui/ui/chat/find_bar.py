"""The line in which one types what to find in the conversation."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from spnl_tui.ui.commands.registry import bindings


class FindBar(Horizontal):
    """Words to find, and how many turns have them. It is seen while one looks for something."""

    BINDINGS = bindings("find")

    def __init__(self) -> None:
        super().__init__()
        self._input = Input(placeholder="Find in this conversation", compact=True, select_on_focus=False)
        self._about = Static(markup=False)
        self.display = False

    def compose(self) -> ComposeResult:
        yield self._input
        yield self._about

    def open(self, words: str) -> None:
        """Be seen, with these words; empty: with the words before."""
        self.display = True
        if words:
            self._input.value = words
        self._input.action_end()
        self._input.focus()

    def close(self) -> None:
        """Be seen no more."""
        self.display = False

    def tell(self, about: str) -> None:
        """Say what was found."""
        self._about.update(about)

    @property
    def words(self) -> str:
        """What is typed."""
        return self._input.value

    @on(Input.Changed)
    async def _changed(self, event: Input.Changed) -> None:
        event.stop()
        await self.run_action("screen.find('look')")

    @on(Input.Submitted)
    async def _submitted(self, event: Input.Submitted) -> None:
        # The line takes Enter for itself; as for Up, which does the same.
        event.stop()
        await self.run_action("screen.find('earlier')")
