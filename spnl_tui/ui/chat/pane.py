"""The pane with the conversation and the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import OptionList

from spnl_tui.settings import ChatSettings
from spnl_tui.ui.chat.candidate_list import Candidates
from spnl_tui.ui.chat.input.completion_list import Completions
from spnl_tui.ui.chat.input.prompt import Prompt
from spnl_tui.ui.chat.transcript import Transcript
from spnl_tui.ui.chat.welcome import Welcome
from spnl_tui.ui.conversations.list import ConversationList

if TYPE_CHECKING:
    from spnl_tui.ui.chat.find_bar import FindBar
    from spnl_tui.ui.tools.question_box import QuestionBox


class ChatPane(Horizontal):
    """A conversation above the prompt, or a welcome while the conversation is empty.

    The list of conversations, when it is wanted, is at the left: beside the chat, or over it on a narrow
    terminal.
    """

    def __init__(
        self, settings: ChatSettings, now: Callable[[], float], clock: Callable[[], float], *, id: str
    ) -> None:
        """`now` returns Unix seconds, `clock` seconds of any origin."""
        super().__init__(id=id)
        self.conversation_list = ConversationList(id="talks", now=now)
        self.welcome = Welcome(clock)
        self.transcript = Transcript(markdown=settings.markdown, show_thinking=settings.show_thinking)
        self._completions = Completions()
        self.candidates = Candidates(markdown=settings.markdown, show_thinking=settings.show_thinking)
        self.prompt = Prompt(self._completions)

    def compose(self) -> ComposeResult:
        yield self.conversation_list
        with Vertical(id="conversation"):
            with Vertical(id="welcome-box"):
                yield self.welcome
            yield self.transcript
            yield self.candidates
            with Vertical(id="prompt-box"):
                yield self._completions
                yield self.prompt

    @on(OptionList.OptionSelected, "Completions")
    def _offer_clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.prompt.take_offer(self._completions.offer_at(event.option_index))

    def on_mount(self) -> None:
        """Begin with the welcome."""
        self.show_welcome(True)

    def show_candidates(self, shown: bool) -> None:
        """Show or hide the candidates, among which the prompt's arrow keys then move."""
        self.set_class(shown, "-choosing")
        self.prompt.choosing = shown

    def page(self, by: int) -> None:
        """Scroll the conversation or the candidates by pages, upwards if negative."""
        (self.candidates if self.has_class("-choosing") else self.transcript).page(by)

    @property
    def welcoming(self) -> bool:
        """True while the welcome is shown."""
        return bool(self.query_one("#welcome-box").display)

    def show_welcome(self, shown: bool) -> None:
        """Show the welcome, or the conversation."""
        self.query_one("#welcome-box").display = shown
        self.transcript.display = not shown

    def make_question_box(self) -> QuestionBox:
        """Create the question above the prompt. Most sessions never need one."""
        from spnl_tui.ui.tools.question_box import QuestionBox

        box = QuestionBox(self.prompt)
        self.query_one("#prompt-box").mount(box, before=0)
        return box

    async def make_find_bar(self, bindings: Iterable[Binding]) -> FindBar:
        """Create the search line above the prompt. Most sessions never need one."""
        from spnl_tui.ui.chat.find_bar import FindBar

        bar = FindBar(bindings)
        await self.query_one("#prompt-box").mount(bar, before=0)
        return bar
