"""The pane with the conversation and the prompt."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical

from spnl_tui.settings import ChatSettings
from spnl_tui.ui.widgets.prompt import Prompt
from spnl_tui.ui.widgets.transcript import Transcript
from spnl_tui.ui.widgets.welcome import Welcome


class ChatPane(Vertical):
    """A conversation above the prompt; a welcome stands in for a conversation that has not begun."""

    def __init__(self, settings: ChatSettings, *, id: str) -> None:
        super().__init__(id=id)
        self.welcome = Welcome()
        self.transcript = Transcript(markdown=settings.markdown, show_thinking=settings.show_thinking)
        self.prompt = Prompt()

    def compose(self) -> ComposeResult:
        with Vertical(id="welcome-box"):
            yield self.welcome
        yield self.transcript
        with Vertical(id="prompt-box"):
            yield self.prompt

    def on_mount(self) -> None:
        """Nothing has been said yet."""
        self.show_welcome(True)

    def show_welcome(self, shown: bool) -> None:
        """Show the welcome, or the conversation."""
        self.query_one("#welcome-box").display = shown
        self.transcript.display = not shown
