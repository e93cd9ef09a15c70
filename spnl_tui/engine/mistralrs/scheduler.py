"""Decides which request runs next, and does background work between requests.

On a CPU only one request runs at a time over all models: two that share the cores are each more than twice as
slow.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial

from spnl_tui.engine.backend import LoadEvent, ModelLoaded, PrefillProgressed
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.cache.prefetch import place_for
from spnl_tui.engine.mistralrs.pool import Pool
from spnl_tui.engine.mistralrs.pooled_model import PooledModel
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.models.files.local import LocalModel

log = logging.getLogger(__name__)


class Scheduler:
    """Queues the requests of all models, and runs the work between them."""

    def __init__(
        self,
        pool: Pool,
        *,
        max_concurrent: int,
        on_loaded: Callable[[LocalModel], Awaitable[None]] | None,
    ) -> None:
        """`max_concurrent` limits the requests of each model on a graphics processor."""
        self.waiting = 0
        """The number of requests that wait or run."""
        self._pool = pool
        self._max_concurrent = max_concurrent
        self._on_loaded = on_loaded
        self._cpu = FairQueue(1)
        self._accelerators: dict[LocalModel, FairQueue] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def at_rest(self) -> bool:
        """True if no request waits or runs and no background work is in progress."""
        return not self.waiting and not self._background

    def queue_of(self, model: PooledModel) -> FairQueue:
        """Return the queue of this model's requests."""
        if model.plan.max_sequences == 1:
            return self._cpu
        return self._accelerators.setdefault(model.model, FairQueue(self._max_concurrent))

    def make_way(self, model: PooledModel, prompt: wire.Prompt) -> PrefillProgressed | None:
        """Stop the prefetches that delay this prompt. Return the progress of a prefetch that serves it."""
        queue = self.queue_of(model)
        sharing = (each for each in self._pool.models if self.queue_of(each) is queue)
        progress = {each: each.make_way(prompt) for each in sharing}
        return progress[model]

    async def make_room(self, model: PooledModel) -> None:
        """Unload other models until this one fits; see `Pool.make_room`."""
        await self._pool.make_room(model)

    async def load(
        self, model: PooledModel, *, seed_discard: int | None = None
    ) -> AsyncGenerator[LoadEvent, None]:
        """Load the model and report it to `on_loaded`; see `PooledModel.load`."""
        async with aclosing(model.load(seed_discard=seed_discard)) as events:
            async for event in events:
                if isinstance(event, ModelLoaded) and self._on_loaded is not None:
                    self.later(partial(self._on_loaded, model.model))
                yield event

    def release(self, model: PooledModel, place: asyncio.Future[None], admitted: bool) -> None:
        """Return the place of a request to the queue. Renew the runner in the background if it has grown."""
        # `admitted` is False if the place was admitted only while the request was being left.
        self.waiting -= 1
        if admitted:
            model.serving -= 1
        self.queue_of(model).leave(place)
        if admitted and not self._closed and model.has_grown():
            self.later(partial(self._renew, model))

    def prefetch(self, model: LocalModel, prefetch: Prefetch) -> None:
        """Read messages in the background, if the model is loaded and no request waits."""
        self.later(partial(self._prefetch, model, prefetch))

    def later(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run this work in the background."""

        async def run() -> None:
            await work()

        task = asyncio.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._done)

    def close(self) -> list[asyncio.Task[None]]:
        """Cancel the background work and return its tasks."""
        self._closed = True
        for task in self._background:
            task.cancel()
        return list(self._background)

    async def _renew(self, model: PooledModel) -> None:
        # On a CPU mistral.rs never evicts its prefix cache, so only a new process frees that memory.
        queue = self.queue_of(model)
        place = queue.ask()
        try:
            await place
            if model.state == "idle" and model.has_grown():
                log.info("renewing the runner of %s", model.model.name)
                await model.renew(queue)
        finally:
            queue.leave(place)

    async def _prefetch(self, local: LocalModel, prefetch: Prefetch) -> None:
        try:
            if (model := self._pool.get(local)) is not None:
                queue = self.queue_of(model)
                async with place_for(prefetch, queue) as admitted:
                    if admitted:
                        await model.read_ahead(prefetch, queue)
        finally:
            prefetch.ended.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background work failed: %r", error, exc_info=error)
