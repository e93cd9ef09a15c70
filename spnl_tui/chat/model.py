"""The model that is talked to: found, fetched or chosen, and loaded ahead of the first prompt."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from spnl_tui.errors import SpnlError
from spnl_tui.text import plain
from spnl_tui.ui.services import Progress, Services
from spnl_tui.ui.widgets.background import start
from spnl_tui.ui.widgets.toasts import tell

if TYPE_CHECKING:
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.ui.main_screen import MainScreen


class CurrentModel:
    """The model from which the next prompt is answered."""

    def __init__(self, screen: MainScreen, services: Services) -> None:
        self.model: ModelHandle | None = None
        self.looked = False
        """Whether a model was looked for, and so whether it is known that there is one or none."""
        self._screen = screen
        self._services = services
        self._welcome = screen.chat.welcome
        self._getting = False
        self._missing = False
        """There is no model to talk to: known only once one was looked for."""
        self._refused: SpnlError | None = None
        """Why the model that was asked for cannot be talked to; none other answers in its place."""

    async def find(self) -> None:
        """Find the model to start with, and load it."""
        try:
            model = await self._services.first_model()
        except SpnlError as error:
            key = self._screen.key("view.models")
            hints = (error.hint, f"{key} shows the models, to pull or to choose one.")
            self._refused = SpnlError(error.title, error.message, "\n".join(filter(None, hints)))
            self._without(self._refused)
            return
        if model is None:
            self._without()
        else:
            await self.use(model)

    @property
    def why_none(self) -> str:
        """Why there is no model to talk to, and what to do about it."""
        if self._getting:
            return "The model is still being fetched."
        if not self.looked:
            return "The model is still being looked for."
        if self._refused is not None:
            return "\n".join(filter(None, (self._refused.title, self._refused.message, self._refused.hint)))
        models, starter = self._screen.key("view.models"), self._screen.key("chat.get_starter")
        get = "" if self._services.starter is None else f"; {starter} gets the starter"
        return f"There is no model yet. {models} shows some, to pull or to choose one{get}."

    async def prompted(self) -> None:
        """Something was sent, and there is no model: fetch the starter, unless another one was asked for."""
        if self._refused is None:
            await self.get_starter()
        else:
            self._screen.sending.return_queued()
            tell(self._screen, self._refused)

    async def get_starter(self) -> None:
        """Fetch the starter model, if there is no model."""
        starter = self._services.starter
        if starter is None or self._getting or not self._missing:
            return
        self._getting = True
        self._refused = None
        self._screen.status.model_requested()
        try:
            async with aclosing(starter.get()) as steps:
                async for step in steps:
                    if isinstance(step, Progress):
                        self._welcome.progress(step)
                    else:
                        await self.use(step)
        except SpnlError as error:
            self._without(error)
        finally:
            self._getting = False

    async def use(self, model: ModelHandle) -> None:
        """Answer with this model from the next prompt on; a reply ends on the model that it began with."""
        self.model = model
        self._missing = False
        self._refused = None
        self.looked = True
        self._welcome.ready(model.name)
        if self._screen.replying:
            # Taken up when the reply has ended.
            self._screen.notify(
                "The reply that is being made ends on the model that it began with.",
                title=f"{plain(model.name)} answers from the next prompt on",
                markup=False,
            )
            return
        self._take_up(model)
        if not self._screen.sending.send_queued():
            await self._load_ahead(model)

    def take_up_chosen(self) -> None:
        """A reply has ended: take up the model that was chosen meanwhile."""
        model = self.model
        if model is not None and model.name != self._screen.conversation.model:
            self._take_up(model)
            start(self._screen, "model", self._load_ahead, model)

    def load_again(self) -> None:
        """Load the model, which was put away: it is about to be used."""
        if self.model is not None:
            start(self._screen, "model", self._load_ahead, self.model)

    def _take_up(self, model: ModelHandle) -> None:
        self._screen.conversation.model = model.name
        self._screen.status.model_chosen(model.name)

    def _without(self, error: SpnlError | None = None) -> None:
        # What was sent meanwhile comes back: to fetch a model is for the user to decide.
        self._screen.sending.return_queued()
        self._missing = True
        self.looked = True
        self._screen.status.model_missing()
        starter = self._services.starter is not None and self._refused is None
        self._welcome.offer(starter=starter, error=error)

    async def _load_ahead(self, model: ModelHandle) -> None:
        # 10 ms that the first paint need not wait for
        from spnl_tui.engine.backend import LoadProgressed, ModelLoaded, RequestFailed, loaded_model

        async with aclosing(self._services.engine.load(model)) as events:
            async for event in events:
                if self.model != model:
                    continue  # another one was chosen meanwhile
                match event:
                    case ModelLoaded():
                        self._idle(event.context_length)
                        self._screen.answering.learn(context_length=event.context_length)
                    case LoadProgressed() if not self._screen.replying:
                        self._screen.status.model_loading(event.stage)
                    case RequestFailed() if not self._screen.replying:
                        self._idle()
                        tell(self._screen, SpnlError(event.title, event.message, event.hint))
                    case _:
                        pass
        # A model that is loaded already tells nothing.
        loaded = loaded_model(self._services.engine, model)
        if loaded is not None and model == self.model and loaded.context_length is not None:
            self._idle(loaded.context_length)
            self._screen.answering.learn(context_length=loaded.context_length)
            self._screen.reading_ahead.look()

    def _idle(self, context_length: int | None = None) -> None:
        """Report that the model is idle; while it replies, the reply has its own activity."""
        if not self._screen.replying:
            self._screen.status.model_idle(context_length)
