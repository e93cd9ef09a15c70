"""Connects chat sessions to the screen: which conversation is visible, and what is shown of the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from spnl_tui.chat import events
from spnl_tui.chat.status import resting_activity
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import SpnlError
from spnl_tui.text import first_line
from spnl_tui.ui import messages
from spnl_tui.ui.widgets.background import start
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.model import CurrentModel
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.chat.status import Status
    from spnl_tui.settings import Settings
    from spnl_tui.ui.chat.conversation_view import ConversationView
    from spnl_tui.ui.chat.input.controller import PromptController
    from spnl_tui.ui.chat.pane import ChatPane


class ChatController:
    """Decides which conversation is visible, and shows its session."""

    def __init__(
        self,
        screen: Screen[Any],
        pane: ChatPane,
        view: ConversationView,
        sessions: Sessions,
        model: CurrentModel,
        status: Status,
        settings: Settings,
        prompts: PromptController,
        load: Callable[[str], Awaitable[Conversation | None]],
    ) -> None:
        """`load` returns the conversation whose id begins so, or the last one. May raise SpnlError."""
        self._screen = screen
        self._pane = pane
        self._view = view
        self._sessions = sessions
        self._model = model
        self._status = status
        self._settings = settings
        self._prompts = prompts
        self._load = load
        sessions.subscribe(self._on_event)

    @property
    def conversation(self) -> Conversation:
        """The visible conversation."""
        return self._sessions.visible.conversation

    # ── which conversation is visible ────────────────────────────────────────────────────────────

    def is_visible(self, conversation: Conversation) -> bool:
        """True if this conversation is the one on the screen. Only here is that compared."""
        return conversation is self._sessions.visible.conversation

    async def open(self, id: str, turn: str | None = None) -> None:
        """Show the conversation whose id begins so, or (empty) the last one, and select this turn."""
        if id != self.conversation.id or not len(self.conversation):
            try:
                conversation = await self._load(id)
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
            # In the background: revealing a turn waits for layouts, which wait for the caller.
            start(self._screen, "turn", self._sessions.visible.selection.move, turn)
        elif not self.is_visible(conversation):
            await self.show(conversation)

    def request_new(self) -> None:
        """Show a new conversation, after the messages that wait in the screen's queue."""
        self._screen.post_message(messages.NewConversationRequested())

    async def begin_anew(self) -> None:
        """Show an empty conversation."""
        await self.show(blank_conversation(self._settings))

    async def show(self, conversation: Conversation) -> None:
        """Show this conversation. A reply in progress in the one before continues out of sight."""
        before = self._sessions.visible
        if before.replying and not self.is_visible(conversation):
            title = "The reply continues in the previous conversation"
            self._screen.notify(first_line(before.conversation.title, 60), title=title, markup=False)
            self._status.reply_hidden()
        session = self._sessions.show(conversation)
        await self._view.show(session)
        if (model := self._model.model) is not None:
            if not session.replying:
                if not session.unsettled_model:
                    conversation.model = model.name
                self._status.model_named(model.name, model.host)
            self._pane.welcome.ready(model.name, model.host)
        self._view.show_figures(session)
        self._sessions.forget_idle()
        self._show_activity(session)
        if session.busy:
            await self._view.show_queue(session)
        elif session.queue:
            await self._prompts.return_queued()
        await session.emit(events.SessionShown())
        self._screen.refresh_bindings()

    # ── what happens in the sessions ─────────────────────────────────────────────────────────────

    async def _on_event(self, session: ChatSession, event: events.SessionEvent) -> None:
        if self.is_visible(session.conversation):
            await self._show_event(session, event)
        elif isinstance(event, events.ReplyEnded) and not session.replying:
            title = "A reply has failed" if event.turn.finish_reason == "failed" else "A reply is complete"
            self._screen.notify(first_line(session.conversation.title, 60), title=title, markup=False)
        match event:
            case events.ReplyStarted(_, prompt):
                self._screen.post_message(messages.ReplyBegan(prompt))
            case events.ReplyEnded(turn, too_long):
                if too_long and self.is_visible(session.conversation) and session.candidates.open is None:
                    self._screen.post_message(messages.PromptRejected(turn.id))
                reason = turn.finish_reason or "cancelled"
                self._screen.post_message(messages.ReplyEnded(reason, turn.text, session.conversation.id))

    async def _show_event(self, session: ChatSession, event: events.SessionEvent) -> None:
        match event:
            case events.RunsChanged():
                self._show_activity(session)
                self._screen.refresh_bindings()
            case events.RunsEnded(activity):
                if (model := self._model.model) is not None:
                    context_length = self._model.context_length(model)
                    activity = resting_activity(
                        activity, session.conversation, model.name, context_length, model.host
                    )
                self._status.reply_progressed(activity)
                self._take_over_model(session)
                self._screen.refresh_bindings()
            case events.ReplyProgressed():
                self._show_activity(session)
                await self._view.apply(session, event)
            case events.BranchChanged():
                await self._view.apply(session, event)
                self._screen.refresh_bindings()
            case _:
                await self._view.apply(session, event)

    def _show_activity(self, session: ChatSession) -> None:
        if (run := session.runs.main) is not None:
            self._status.reply_progressed(run.activity)

    def _take_over_model(self, session: ChatSession) -> None:
        """Switch to the model that was chosen while the reply was in progress."""
        model = self._model.model
        if model is None:
            return
        # The same model may have been chosen with another context.
        chosen = self._model.chosen_during_reply
        if chosen or model.name != session.conversation.model:
            session.conversation.model = model.name
            self._model.take_over()
            start(self._screen, "model", self._model.load)

    def reply_ended(self, ended: messages.ReplyEnded) -> None:
        """Send what was typed ahead. After a reply that failed or was stopped, give it back to the user."""
        session = self._sessions.get(ended.conversation)
        well = ended.finish_reason in ("stop", "length")
        if session is None or session.busy or (well and session.send_next()):
            return
        if self.is_visible(session.conversation):
            start(self._screen, "queued", self._prompts.return_queued)
        else:
            self._sessions.forget_idle()

    async def may_leave_out(self, conversation: Conversation, count: int) -> bool:
        """Ask if the model may answer without this many of the oldest turns. Out of sight, it may not."""
        from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen

        if not self.is_visible(conversation):
            return False
        question = f"The context is full. Answer without the {count} oldest turns?"
        why = "They stay in the conversation; only the model does not see them."
        return await self._screen.app.push_screen_wait(ConfirmScreen(question, why))


def blank_conversation(settings: Settings) -> Conversation:
    """Return an empty conversation with the system prompt and the sampling of the settings."""
    return Conversation(system_prompt=settings.chat.system_prompt, sampling=settings.sampling)
