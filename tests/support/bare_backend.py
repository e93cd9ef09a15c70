"""A backend that holds no model: the base of engines that only answer requests."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from spnl_tui.engine.backend import Event, LoadedModel, ModelHandle
from spnl_tui.engine.prefetch import Prefetch


class BareBackend:
    """Has every method of `Backend` except `generate`; none of them does anything."""

    id = "bare"
    needs_every_core = False

    async def find(self, reference: str) -> ModelHandle | None:
        return None

    async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        events: tuple[Event, ...] = ()
        for event in events:
            yield event

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        pass

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        return None

    def loaded(self) -> tuple[LoadedModel, ...]:
        return ()

    def idle_unloaded(self, model: ModelHandle) -> bool:
        return False

    async def unload(self, model: ModelHandle) -> None:
        pass

    async def close(self) -> None:
        pass
