"""The mistral.rs backend: runs models on this machine, each in a runner process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from spnl_tui.engine.backend import (
    ChatRequest,
    Event,
    LoadedModel,
    ModelHandle,
    ReplyFinished,
    Request,
    RequestFailed,
    failure_of,
    refused,
)
from spnl_tui.engine.mistralrs import BACKEND, wire
from spnl_tui.engine.mistralrs.failures import NoChatTemplate, request_failure
from spnl_tui.engine.mistralrs.handles import to_handle, to_local
from spnl_tui.engine.mistralrs.merging import merge
from spnl_tui.engine.mistralrs.pool import Planner, Pool
from spnl_tui.engine.mistralrs.pooled_model import PooledModel
from spnl_tui.engine.mistralrs.request import RunnerRequest
from spnl_tui.engine.mistralrs.runner_process import RUNNER
from spnl_tui.engine.mistralrs.scheduler import Scheduler
from spnl_tui.engine.mistralrs.seeds import LaunchCounter
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.errors import SpnlError
from spnl_tui.models.files.local import LocalModel
from spnl_tui.paths import Paths

Resolve = Callable[[str], Awaitable[LocalModel | None]]
"""Returns the model on this disk that a reference names, or None. May raise SpnlError."""

_CLOSE_BOUND_S = 2.0


class MistralRsBackend:
    """Loads models on demand and serves requests on them; a `Backend`."""

    def __init__(
        self,
        planner: Planner,
        paths: Paths,
        *,
        max_concurrent: int = 4,
        keep_warm_s: float = 1800.0,
        memory_budget: int | None = None,
        available_memory: Callable[[], int] | None = None,
        resolve: Resolve | None = None,
        on_loaded: Callable[[LocalModel], Awaitable[None]] | None = None,
        runner_command: Sequence[str] = RUNNER,
    ) -> None:
        """Prepare the pool; no process starts before the first request.

        `memory_budget` (bytes) limits all runners together; `available_memory` returns the free memory.
        `resolve` finds a model on this disk, for `find`. `on_loaded` is called in the background for each
        model that was loaded.
        """
        self._pool = Pool(
            planner,
            LaunchCounter(paths.state / "launches"),
            keep_warm_s=keep_warm_s,
            memory_budget=memory_budget,
            available_memory=available_memory,
            runner_command=runner_command,
            images=str(paths.images),
        )
        self._scheduler = Scheduler(self._pool, max_concurrent=max_concurrent, on_loaded=on_loaded)
        self._resolve = resolve
        self._housekeeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def id(self) -> str:
        """The name that handles of this backend carry."""
        return BACKEND

    @property
    def at_rest(self) -> bool:
        """True if no request waits or runs and no background work is in progress."""
        return self._scheduler.at_rest

    @property
    def needs_every_core(self) -> bool:
        """True if a reply is being computed by threads on all cores; see `Backend`."""
        return any(pooled.serving and pooled.plan.every_core for pooled in self._pool.models)

    async def find(self, reference: str) -> ModelHandle | None:
        """Return the model of this reference on this machine; see `Backend`."""
        model = None if self._resolve is None else await self._resolve(reference)
        return None if model is None else to_handle(model)

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer the request; see `Backend`.

        On a CPU candidates run one after the other, because the later ones find the prompt in the cache.
        """
        try:
            pooled = await self._pooled(model)
            refusal = _refusal(pooled, request)
        except SpnlError as error:
            refusal = failure_of(error)
        if refusal is not None:
            async for event in refused(refusal, request.n):
                yield event
            return
        replies = _replies(pooled, request)
        if pooled.plan.max_sequences > 1:
            async with aclosing(merge([reply.events(self._scheduler) for reply in replies])) as events:
                async for event in events:
                    yield event
            return
        for candidate, reply in enumerate(replies):
            if isinstance(request, ChatRequest) and not request.is_wanted(candidate):
                yield ReplyFinished(finish_reason="cancelled", candidate=candidate)
                continue
            # Each candidate queues separately, so requests of other conversations run in between.
            async with aclosing(reply.events(self._scheduler)) as events:
                async for event in events:
                    yield event

    async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        """Load the model ahead of any request; see `Backend`."""
        try:
            pooled = await self._pooled(model)
            if not pooled.serving:
                await pooled.take_up_plan()
            await self._pool.make_room(pooled)
        except SpnlError as error:
            yield failure_of(error)
            return
        async with aclosing(self._scheduler.load(pooled)) as events:
            async for event in events:
                yield event

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        """Read messages before they are sent; see `Backend`."""
        self._scheduler.prefetch(to_local(model), prefetch)

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the token counts by the model's own tokenizer; None while the model is not loaded."""
        pooled = self._pool.get(to_local(model))
        return None if pooled is None else await pooled.count_tokens(tuple(texts))

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models that are loaded or being loaded, most recently used first."""
        return self._pool.loaded()

    def idle_unloaded(self, model: ModelHandle) -> bool:
        """Return True if the model was unloaded only because it was not used for a while."""
        return (pooled := self._pool.get(to_local(model))) is not None and pooled.idle_unloaded

    async def unload(self, model: ModelHandle) -> None:
        """End the model's runner. A request on it ends in RequestFailed."""
        if (pooled := self._pool.get(to_local(model))) is not None:
            await pooled.end()

    async def close(self) -> None:
        """End every runner, within two seconds."""
        if self._closed:
            return
        self._closed = True
        tasks = self._scheduler.close()
        if self._housekeeper is not None:
            self._housekeeper.cancel()
            tasks.append(self._housekeeper)
        ends = [asyncio.create_task(pooled.end()) for pooled in self._pool.models]
        if tasks or ends:
            await asyncio.wait([*tasks, *ends], timeout=_CLOSE_BOUND_S)

    async def _pooled(self, model: ModelHandle) -> PooledModel:
        if self._closed:
            raise SpnlError("The engine is closed")
        pooled = await self._pool.take_in(to_local(model), model.wanted_context)
        if self._housekeeper is None:
            self._housekeeper = asyncio.create_task(self._pool.keep_house())
        return pooled


def _refusal(model: PooledModel, request: Request) -> RequestFailed | None:
    """Return why the model cannot serve the request, or None if it can."""
    if model.plan.completion_only and isinstance(request, ChatRequest):
        # The runner would report the same, but only after the model is loaded.
        return request_failure(NoChatTemplate())
    sampled = request.sampling.seed is not None and request.sampling.temperature > 0
    if sampled and model.plan.max_sequences > 1:
        return failure_of(
            SpnlError(
                "The seed cannot be used",
                "On this device all requests share one random number generator.",
                "Leave the seed out, or use temperature 0.",
            )
        )
    return None


def _replies(model: PooledModel, request: Request) -> list[RunnerRequest]:
    """Return one runner request for each candidate."""
    sampling = request.sampling
    # Only the first candidate starts with the seed; the others continue its random numbers.
    seed = sampling.seed if sampling.temperature > 0 else None
    if isinstance(request, ChatRequest):
        chat = wire.Chat(
            id=0,
            messages=tuple(request.messages),
            sampling=sampling,
            thinking=request.thinking,
            grammar=request.grammar,
            tools=request.tools,
            tool_choice=request.tool_choice,
            continue_reply=request.continue_reply,
            begun_thought=request.begun_thought,
            ephemeral=request.ephemeral,
        )
        return [
            RunnerRequest(
                model,
                chat,
                candidate=candidate,
                seed=None if candidate else seed,
                is_wanted=request.is_wanted,
            )
            for candidate in range(request.n)
        ]
    return [
        RunnerRequest(
            model,
            wire.Complete(id=0, prompt=text, sampling=sampling, grammar=request.grammar),
            candidate=candidate,
            seed=None if candidate else seed,
        )
        for candidate, text in enumerate(request.inputs)
    ]
