"""The current model: found, fetched or chosen, and loaded ahead of the first prompt."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol, TypeAlias

from spnl_tui.errors import SpnlError
from spnl_tui.records import record

if TYPE_CHECKING:
    from spnl_tui.chat.status import Status
    from spnl_tui.engine.backend import Backend, ModelHandle
    from spnl_tui.hub import starter
    from spnl_tui.models.files.local import LocalModel


@record
class Progress:
    """The progress of a download."""

    stage: str
    """In words for the user."""
    done: int = 0
    """Bytes."""
    total: int | None = None
    """Bytes; None if it is not known."""


class Starter(Protocol):
    """Fetches the starter model."""

    def get(self) -> AsyncGenerator[Progress | ModelHandle, None]:
        """Yield progress, and at the end the model.

        Raises:
            SpnlError: the model could not be fetched.
        """


class StarterDownload:
    """Downloads the starter for `CurrentModel`."""

    def __init__(
        self, make: Callable[[], starter.Starter], to_handle: Callable[[LocalModel], ModelHandle]
    ) -> None:
        """`make` is called on the first download, so that the start does not wait for its imports."""
        self._make = make
        self._to_handle = to_handle

    async def get(self) -> AsyncGenerator[Progress | ModelHandle, None]:
        """Yield progress, and at the end the model.

        Raises:
            SpnlError: the model could not be downloaded.
        """
        from spnl_tui.hub.starter import StarterReady

        async with aclosing(self._make().fetch()) as events:
            async for event in events:
                if isinstance(event, StarterReady):
                    yield self._to_handle(event.model)
                else:
                    yield Progress(f"{event.stage} · {event.source}", event.done, event.total)


@record
class ModelChosen:
    """This model answers from the next prompt on."""

    model: ModelHandle


@record
class ModelReady:
    """The chosen model can be asked: no reply of another model is in progress on the screen."""

    model: ModelHandle


@record
class ModelMissing:
    """There is no model to talk to."""

    error: SpnlError | None
    """Why, if something went wrong."""


@record
class StarterProgressed:
    """More of the starter model was fetched."""

    progress: Progress


@record
class ModelLoaded:
    """The model is in memory, with this context length in tokens."""

    context_length: int | None


@record
class LoadFailed:
    """The model could not be loaded."""

    error: SpnlError


ModelEvent: TypeAlias = ModelChosen | ModelReady | ModelMissing | StarterProgressed | ModelLoaded | LoadFailed


class CurrentModel:
    """The model that answers the next prompt."""

    def __init__(
        self,
        engine: Backend,
        status: Status,
        *,
        first_model: Callable[[], Awaitable[ModelHandle | None]],
        starter: Starter | None,
        replying: Callable[[], bool],
    ) -> None:
        """`replying` returns True while a reply is in progress on the screen; its activity is shown then."""
        self._engine = engine
        self._status = status
        self._first_model = first_model
        self._starter = starter
        self._replying = replying
        self._listeners: list[Callable[[ModelEvent], Awaitable[None]]] = []
        self._missing = False
        self.model: ModelHandle | None = None
        self.choices = 0
        """The number of times the user has chosen a model in the interface."""
        self.looked = False
        """True once it is known whether there is a model."""
        self.fetching = False
        """True while the starter model is being fetched."""
        self.chosen_during_reply = False
        """True if the model was chosen while a reply was in progress, and has not been taken over yet."""
        self.refused: SpnlError | None = None
        """Why the requested model cannot be used. No other model answers in its place."""

    def subscribe(self, listener: Callable[[ModelEvent], Awaitable[None]]) -> None:
        """Call `listener` with every event."""
        self._listeners.append(listener)

    @property
    def has_starter(self) -> bool:
        """True if the starter model may be offered."""
        return self._starter is not None and self.refused is None

    def context_length(self, model: ModelHandle) -> int | None:
        """Return the context length in tokens with which this model is loaded; None if it is not loaded."""
        from spnl_tui.engine.backend import loaded_model

        loaded = loaded_model(self._engine, model)
        return None if loaded is None else loaded.context_length

    async def find(self) -> None:
        """Find the model to begin with, and load it."""
        try:
            model = await self._first_model()
        except SpnlError as error:
            self.refused = error
            await self._lack(error)
            return
        if model is None:
            await self._lack()
        else:
            await self.use(model)

    async def fetch_starter(self) -> None:
        """Fetch the starter model if there is no model."""
        if self._starter is None or self.fetching or not self._missing:
            return
        self.fetching = True
        self.refused = None
        self._status.model_requested()
        try:
            async with aclosing(self._starter.get()) as steps:
                async for step in steps:
                    if isinstance(step, Progress):
                        await self._emit(StarterProgressed(step))
                    else:
                        await self.choose(step)
        except SpnlError as error:
            await self._lack(error)
        finally:
            self.fetching = False

    async def choose(self, model: ModelHandle) -> None:
        """Use this model, which the user has chosen, also where another one has answered before."""
        self.choices += 1
        await self.use(model)

    async def use(self, model: ModelHandle) -> None:
        """Answer with this model from the next prompt on. A reply in progress ends on its own model."""
        self.model = model
        self._missing = False
        self.refused = None
        self.looked = True
        await self._emit(ModelChosen(model))
        self.chosen_during_reply = self._replying()
        if not self.chosen_during_reply:
            self._status.model_chosen(model.name, model.host)
            await self._emit(ModelReady(model))

    def take_over(self) -> None:
        """Show this model, which was chosen while another one replied."""
        self.chosen_during_reply = False
        if self.model is not None:
            self._status.model_chosen(self.model.name, self.model.host)

    async def load(self) -> None:
        """Load the model ahead of any request."""
        if (model := self.model) is not None:
            await self._load(model)

    async def _load(self, model: ModelHandle) -> None:
        # 10 ms that the first paint need not wait for
        from spnl_tui.engine import backend

        async with aclosing(self._engine.load(model)) as events:
            async for event in events:
                if self.model != model:
                    continue  # another one was chosen meanwhile
                match event:
                    case backend.ModelLoaded():
                        self._idle(event.context_length)
                        await self._emit(ModelLoaded(event.context_length))
                    case backend.LoadProgressed() if not self._replying():
                        self._status.model_loading(event.stage)
                    case backend.RequestFailed() if not self._replying():
                        self._idle()
                        await self._emit(LoadFailed(SpnlError(event.title, event.message, event.hint)))
                    case _:
                        pass
        # A model that was loaded already yields no event.
        loaded = backend.loaded_model(self._engine, model)
        if self.model == model and loaded is not None:
            self._status.tokens_estimated(loaded.estimates_tokens)
        if self.model == model and loaded is not None and loaded.context_length is not None:
            self._idle(loaded.context_length)
            await self._emit(ModelLoaded(loaded.context_length))

    def check_loaded(self) -> None:
        """Report it if the model was unloaded, or loaded again, without being asked here."""
        from spnl_tui.engine.backend import loaded_model

        state = self._status.activity.state
        if self.model is None or not self.model.capabilities.unloads or self._replying():
            return
        loaded = loaded_model(self._engine, self.model)
        if state == "idle" and loaded is None:
            self._status.model_unloaded()
        elif state == "unloaded" and loaded is not None and loaded.context_length is not None:
            self._status.model_idle(loaded.context_length)

    def _idle(self, context_length: int | None = None) -> None:
        if not self._replying():
            self._status.model_idle(context_length)

    async def _lack(self, error: SpnlError | None = None) -> None:
        self._missing = True
        self.looked = True
        self._status.model_missing()
        await self._emit(ModelMissing(error))

    async def _emit(self, event: ModelEvent) -> None:
        for listener in self._listeners:
            await listener(event)
