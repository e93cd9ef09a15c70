"""The current model on the screen: the welcome, the toasts, and the prompts that wait for a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from spnl_tui.chat import model as chat_model
from spnl_tui.chat.events import QueueChanged, SessionShown
from spnl_tui.errors import SpnlError
from spnl_tui.text import plain
from spnl_tui.ui.widgets.background import start
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.events import SessionEvent
    from spnl_tui.chat.model import CurrentModel, ModelEvent
    from spnl_tui.chat.session import ChatSession
    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.ui.chat.input.controller import PromptController
    from spnl_tui.ui.chat.welcome_controller import WelcomeController


class ModelController:
    """Shows what happens to the current model, and sends what was waiting for it."""

    def __init__(
        self,
        screen: Screen[Any],
        welcome: WelcomeController,
        model: CurrentModel,
        sessions: Sessions,
        prompts: PromptController,
        *,
        find_model: Callable[[str], Awaitable[ModelHandle | None]],
        key_name: Callable[[str], str],
    ) -> None:
        """`find_model` returns the model with this name if it is on this machine, and may raise SpnlError.

        `key_name` returns the key of a command.
        """
        self._screen = screen
        self._welcome = welcome
        self._model = model
        self._sessions = sessions
        self._prompts = prompts
        self._find_model = find_model
        self._key_name = key_name
        self._asking = False
        model.subscribe(self._on_event)
        sessions.subscribe(self._on_session_event)

    @property
    def why_none(self) -> str:
        """The reason why no model is chosen, and what the user can do about it."""
        model = self._model
        if model.fetching:
            return "The model is still being downloaded."
        if not model.looked:
            return "The program is still looking for a model."
        if model.refused is not None:
            refused = self._with_hint(model.refused)
            return "\n".join(filter(None, (refused.title, refused.message, refused.hint)))
        models, starter = self._key_name("view.models"), self._key_name("chat.get_starter")
        get = f", or {starter} for the starter model" if model.has_starter else ""
        return f"There is no model yet. Press {models} to pull or choose one{get}."

    async def prompted(self) -> None:
        """A prompt was sent without a model: fetch the starter, unless another model was requested."""
        if self._asking:
            return
        if self._model.refused is None:
            if await self._may_fetch_starter():
                await self._model.fetch_starter()
            else:
                await self._prompts.return_queued()
        else:
            await self._prompts.return_queued()
            tell(self._screen, self._with_hint(self._model.refused))

    async def _may_fetch_starter(self) -> bool:
        """Ask first if the conversation was held with another model, which is no longer on this machine."""
        conversation = self._sessions.visible.conversation
        if not conversation.model or self._model.fetching or not self._model.has_starter:
            return True
        from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen

        question = f"{plain(conversation.model)} is not on this machine. Fetch the starter model instead?"
        why = f"This conversation was held with that model. {self._key_name('view.models')} pulls it again."
        self._asking = True
        try:
            return await self._screen.app.push_screen_wait(ConfirmScreen(question, why))
        finally:
            self._asking = False

    async def _on_session_event(self, session: ChatSession, event: SessionEvent) -> None:
        if isinstance(event, (SessionShown, QueueChanged)):
            self._settle_soon(session)

    def _settle_soon(self, session: ChatSession) -> None:
        if session is self._sessions.visible and session.unsettled_model and not self._asking:
            self._asking = True
            start(self._screen, "settle", self._settle, session)

    async def _settle(self, session: ChatSession) -> None:
        """Let the current model answer if the conversation's own is on this machine, too. Else ask first."""
        try:
            if not (name := session.unsettled_model):
                return
            if await self._is_here(name):
                session.settle()
            elif session is self._sessions.visible and session.unsettled_model and session.queue:
                if await self._may_answer_instead(name):
                    session.settle()
                elif session is self._sessions.visible:
                    await self._prompts.return_queued()
        finally:
            self._asking = False

    async def _is_here(self, name: str) -> bool:
        try:
            return await self._find_model(name) is not None
        except SpnlError:  # such as the name of a file that another program used
            return False

    async def _may_answer_instead(self, name: str) -> bool:
        from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen

        current = self._model.model
        question = (
            f"{plain(name)} is not on this machine. Let {plain(current.name if current else '')} answer?"
        )
        why = f"This conversation was held with that model. {self._key_name('view.models')} pulls it again."
        return await self._screen.app.push_screen_wait(ConfirmScreen(question, why))

    async def _on_event(self, event: ModelEvent) -> None:
        match event:
            case chat_model.ModelChosen(model):
                self._welcome.model_chosen(model.name, model.host)
                if self._sessions.visible.replying:
                    same = model.name == self._sessions.visible.conversation.model
                    self._screen.notify(
                        f"The reply in progress finishes {'first' if same else 'with the previous model'}.",
                        title=f"{plain(model.name)} answers your next prompt",
                        markup=False,
                    )
            case chat_model.ModelReady(model):
                visible = self._sessions.visible
                if not visible.unsettled_model:
                    visible.conversation.model = model.name
                self._settle_soon(visible)
                if not self._sessions.send_queued():
                    await self._model.load()
            case chat_model.ModelMissing(error):
                # The prompt comes back: whether to fetch a model is for the user to decide.
                start(self._screen, "queued", self._prompts.return_queued)
                refused = None if self._model.refused is None else self._with_hint(self._model.refused)
                self._welcome.offer(refused or error)
                if self._model.refused is None:
                    start(self._screen, "offers", self._welcome.show_models)
            case chat_model.StarterProgressed(progress):
                self._welcome.progress(progress)
            case chat_model.ModelLoaded(context_length):
                if (run := self._sessions.visible.runs.main) is not None:
                    run.learn(context_length=context_length)
            case chat_model.LoadFailed(error):
                tell(self._screen, error)

    def _with_hint(self, error: SpnlError) -> SpnlError:
        hint = f"Press {self._key_name('view.models')} to pull or choose a model."
        return SpnlError(error.title, error.message, "\n".join(filter(None, (error.hint, hint))))
