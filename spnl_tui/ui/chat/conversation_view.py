"""The conversation that is seen: which one it is, and what the screen shows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import SpnlError
from spnl_tui.settings import Settings
from spnl_tui.text import first_line
from spnl_tui.ui.messages import NewConversationRequested
from spnl_tui.ui.widgets.background import start
from spnl_tui.ui.widgets.toasts import tell
from spnl_tui.ui.widgets.top_line import TopLine

if TYPE_CHECKING:
    from spnl_tui.ui.main_screen import MainScreen

_MOUNTED_SINGLY = 12
"""A branch of more turns is shown from its end, as a conversation is that is opened."""


class ConversationView:
    """Shows a conversation, or another branch of it, in place of the one before."""

    def __init__(self, screen: MainScreen, settings: Settings) -> None:
        self._screen = screen
        self._settings = settings
        self._transcript = screen.chat.transcript
        self.conversation = self._blank()
        """The one that is seen."""

    def _blank(self) -> Conversation:
        return Conversation(system_prompt=self._settings.chat.system_prompt, sampling=self._settings.sampling)

    async def open(self, id: str, turn: str | None = None) -> None:
        """Show the conversation whose id begins so, or the last one, and go to this turn of it."""
        if id != self.conversation.id or not len(self.conversation):
            try:
                conversation = await self._screen.conversations.load(id)
            except SpnlError as error:
                tell(self._screen, error)
                return
            if conversation is None:
                return
        else:
            conversation = self.conversation
        if turn is not None and turn in conversation:
            conversation.select(turn)
            await self.show(conversation)
            # A jump waits for layouts, which wait for whoever is asking for this.
            start(self._screen, "turn", self._screen.turns.jump, turn)
        elif conversation is not self.conversation:
            await self.show(conversation)

    def request_new(self) -> None:
        """Have a new conversation shown, after what waits in the screen's queue."""
        self._screen.post_message(NewConversationRequested())

    async def begin_anew(self) -> None:
        """Show a conversation that has not begun."""
        await self.show(self._blank())

    async def show(self, conversation: Conversation) -> None:
        """Show this conversation in place of the one before, whose reply goes on if one is being made."""
        from spnl_tui.conversations.memory import memory_of

        screen = self._screen
        if screen.replying and conversation is not self.conversation:
            title = "The reply goes on in the conversation before"
            screen.notify(first_line(self.conversation.title, 60), title=title, markup=False)
            screen.status.reply_hidden()
        self.conversation = conversation
        screen.turns.forget()
        screen.finder.forget()
        path = conversation.path()
        self.show_title()
        self._transcript.remember_from(*memory_of(path))
        await self._transcript.show(screen.candidates.above(path))
        await screen.candidates.shown()
        screen.chat.show_welcome(not path)
        if (model := screen.current_model.model) is not None:
            if not screen.replying:
                conversation.model = model.name
                screen.status.model_named(model.name)
            screen.chat.welcome.ready(model.name)
        self.show_figures()
        screen.answering.shown()
        await screen.sending.shown()
        screen.reading_ahead.look()
        screen.refresh_bindings()
        await screen.conversations.refresh()

    async def show_branch(self, before: str, turn_id: str) -> None:
        """Show the active branch from this turn on, where its sibling `before` was shown."""
        path = self.conversation.path()
        tail = path[[turn.id for turn in path].index(turn_id) :]
        if len(tail) < _MOUNTED_SINGLY and await self._transcript.remove_from(before):
            for turn in tail:
                await self._transcript.add(turn)
        else:
            await self._transcript.show(path)
        self.show_figures()

    def show_figures(self) -> None:
        """Another branch is seen: show how much of the context it takes, and no figures of another reply."""
        path = self.conversation.path()
        used = next((p for turn in reversed(path) if (p := turn.provenance) is not None), None)
        context_used = (used.prompt_tokens or 0) + (used.completion_tokens or 0) if used is not None else None
        self._screen.status.branch_shown(context_used or None)

    def show_title(self) -> None:
        """Show the title."""
        self._screen.query_one(TopLine).title = self.conversation.title
