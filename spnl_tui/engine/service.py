"""The engine service: sends every request to the backend of its model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spnl_tui.errors import RequestError, SpnlError

if TYPE_CHECKING:
    # The first paint needs the service, but these types only matter for requests.
    from spnl_tui.engine.backend import Backend, Event, LoadedModel, ModelHandle, Request
    from spnl_tui.engine.prefetch import Prefetch


@dataclass(eq=False, repr=False, frozen=True, slots=True)
class DeferredBackend:
    """A backend that is constructed on first use, because its imports would delay the first paint."""

    id: str
    construct: Callable[[], Backend]


class EngineService:
    """Combines several backends into one with the methods of `Backend`."""

    def __init__(self, backends: Sequence[Backend | DeferredBackend]) -> None:
        """References are looked up in the order of `backends`."""
        self._all = {backend.id: backend for backend in backends}
        self._backends = {id: each for id, each in self._all.items() if not isinstance(each, DeferredBackend)}
        """The backends constructed so far."""
        self._closed = False

    def _backend(self, id: str) -> Backend | None:
        deferred = self._all.get(id)
        if id not in self._backends and isinstance(deferred, DeferredBackend) and not self._closed:
            self._backends[id] = deferred.construct()
        return self._backends.get(id)

    @property
    def id(self) -> str:
        """The name of the service; no handle uses it."""
        return "engine"

    @property
    def needs_every_core(self) -> bool:
        """True if a backend needs all cores now; see `Backend`."""
        return any(backend.needs_every_core for backend in self._backends.values())

    async def find(self, reference: str) -> ModelHandle | None:
        """Return the model that a reference names, from the first backend that has it; else None.

        Raises:
            SpnlError: see `Backend.find`.
        """
        for id in self._all:
            backend = self._backend(id)
            if backend is not None and (model := await backend.find(reference)) is not None:
                return model
        return None

    def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer the request with the backend of the model; see `Backend`.

        A request that the model cannot serve ends in RequestFailed for every candidate.
        """
        from spnl_tui.engine.admission import admit

        backend = self._backend(model.backend)
        return admit(backend or self._unavailable(model), model, request)

    def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        """Load the model ahead of any request; see `Backend`."""
        if (backend := self._backend(model.backend)) is not None:
            return backend.load(model)
        from spnl_tui.engine.backend import failure_of, refused

        return refused(failure_of(self._unavailable(model)))

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        """Read messages before they are sent; see `Backend`."""
        if (backend := self._backend(model.backend)) is None:
            prefetch.ended.set()
        else:
            backend.prefetch(model, prefetch)

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the token counts by the model's own tokenizer; None while the model is not loaded."""
        backend = self._backend(model.backend) if model.capabilities.counts_tokens else None
        return None if backend is None else await backend.count_tokens(model, texts)

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models that are loaded or being loaded: by backend, most recently used first."""
        return tuple(each for backend in self._backends.values() for each in backend.loaded())

    def idle_unloaded(self, model: ModelHandle) -> bool:
        """Return True if the model was unloaded only because it was not used for a while."""
        backend = self._backend(model.backend)
        return backend is not None and backend.idle_unloaded(model)

    async def unload(self, model: ModelHandle) -> None:
        """Unload the model. A request on it ends in RequestFailed."""
        if (backend := self._backend(model.backend)) is not None:
            await backend.unload(model)

    async def close(self) -> None:
        """Close all backends at once, within two seconds. Raises the first error after closing all."""
        self._closed = True
        closing = (backend.close() for backend in self._backends.values())
        # Every backend is closed, even if others fail.
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    def _unavailable(self, model: ModelHandle) -> SpnlError:
        if self._closed:
            return SpnlError("The engine is closed")
        return RequestError(
            "The model's backend is not available",
            f"{model.name} needs the backend {model.backend}, which is not set up.",
            "Choose another model.",
        )
