"""The mistral.rs backend: runs models on this machine, each in a runner process of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial

from spnl_tui.engine.backend import (
    FINAL,
    ChatRequest,
    Event,
    LoadedModel,
    ModelHandle,
    ModelLoaded,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
    RequestQueued,
    all_wanted,
)
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.failures import NoChatTemplate, request_failure
from spnl_tui.engine.mistralrs.handles import BACKEND, to_handle, to_local
from spnl_tui.engine.mistralrs.merging import merge
from spnl_tui.engine.mistralrs.pool import Planner, Pool
from spnl_tui.engine.mistralrs.pooled_model import PooledModel, Rest
from spnl_tui.engine.mistralrs.prefetch import turn_of
from spnl_tui.engine.mistralrs.runner_process import RUNNER
from spnl_tui.engine.mistralrs.seeds import LaunchCounter, discard_for_seed
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.errors import SpnlError
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Sampling
from spnl_tui.paths import Paths

log = logging.getLogger(__name__)

Resolve = Callable[[str], Awaitable[LocalModel | None]]
"""Returns the model of a reference on this disk, or None. Raises SpnlError."""

_CLOSE_BOUND_S = 2.0


class MistralRsBackend:
    """Loads models on demand, each in a runner process of its own, and serves requests on them.

    Every request is an async iterator of events. It ends after one ReplyFinished or RequestFailed for each
    candidate; it never raises for what happens in a runner. Leaving it early (`aclosing`) cancels, and
    returns at once: what must be done before the next request goes on in the background.

    On a CPU one request runs at a time, over all models: two that share the cores are each more than
    twice as slow. They are let in in the order in which they came.
    """

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
        """`memory_budget` (bytes) limits all runners together; `available_memory` tells what is free.

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
        )
        self._max_concurrent = max_concurrent
        self._resolve = resolve
        self._on_loaded = on_loaded
        self._cpu = FairQueue(1)
        self._accelerators: dict[LocalModel, FairQueue] = {}
        self._waiting = 0
        self._background: set[asyncio.Task[None]] = set()
        self._housekeeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def id(self) -> str:
        """The name that handles of this backend carry."""
        return BACKEND

    # ── requests ──────────────────────────────────────────────────────────────────────────────────

    async def find(self, reference: str) -> ModelHandle | None:
        """Return the model of this reference on this machine; see `Backend`."""
        model = None if self._resolve is None else await self._resolve(reference)
        return None if model is None else to_handle(model)

    def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer the request; see `Backend`.

        On a CPU candidates come one after the other: those after the first find the prompt in the cache.
        """
        if isinstance(request, ChatRequest):
            chat = wire.Chat(
                id=0,
                messages=tuple(request.messages),
                sampling=request.sampling,
                thinking=request.thinking,
                grammar=request.grammar,
                continue_reply=request.continue_reply,
                ephemeral=request.ephemeral,
            )
            return self._fan_out(to_local(model), [chat] * request.n, request.sampling, request.is_wanted)
        commands = [
            wire.Complete(id=0, prompt=text, sampling=request.sampling, grammar=request.grammar)
            for text in request.inputs
        ]
        return self._fan_out(to_local(model), commands, request.sampling)

    async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        """Load the model ahead of any request; see `Backend`."""
        try:
            pooled = await self._pooled(to_local(model))
            await self._pool.make_room(pooled)
        except SpnlError as error:
            yield _failure(error)
            return
        async with aclosing(pooled.load()) as events:
            async for event in events:
                self._note(pooled.model, event)
                yield event

    def idle_unloaded(self, model: ModelHandle) -> bool:
        """Return True if the model was unloaded only because it was not used for a while."""
        return (pooled := self._pool.get(to_local(model))) is not None and pooled.idle_unloaded

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        """Read messages before they are sent; see `Backend`."""
        self._later(partial(self._prefetch, to_local(model), prefetch))

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the token counts by the model's own tokenizer; None while the model is not loaded."""
        pooled = self._pool.get(to_local(model))
        return None if pooled is None else await pooled.count_tokens(tuple(texts))

    # ── the pool ──────────────────────────────────────────────────────────────────────────────────

    def loaded(self) -> tuple[LoadedModel, ...]:
        """What is loaded or loading, most recently used first."""
        return self._pool.loaded()

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing to do, in the background neither."""
        return not self._waiting and not self._background

    @property
    def needs_every_core(self) -> bool:
        """Whether a reply is being made by threads on all cores.

        They wait for each other: what else computes meanwhile holds all of them up. Any thread may ask.
        """
        return any(pooled.serving and pooled.plan.every_core for pooled in self._pool.models)

    async def unload(self, model: ModelHandle) -> None:
        """End the model's runner. A request on it ends in RequestFailed."""
        if (pooled := self._pool.get(to_local(model))) is not None:
            await pooled.end()

    async def close(self) -> None:
        """End every runner, within two seconds."""
        if self._closed:
            return
        self._closed = True
        tasks = [*self._background, *([self._housekeeper] if self._housekeeper else [])]
        for task in tasks:
            task.cancel()
        ends = [asyncio.create_task(pooled.end()) for pooled in self._pool.models]
        if tasks or ends:
            await asyncio.wait([*tasks, *ends], timeout=_CLOSE_BOUND_S)

    # ── one request ───────────────────────────────────────────────────────────────────────────────

    async def _pooled(self, model: LocalModel) -> PooledModel:
        if self._closed:
            raise SpnlError("The engine is closed")
        pooled = await self._pool.take_in(model)
        if self._housekeeper is None:
            self._housekeeper = asyncio.create_task(self._pool.keep_house())
        return pooled

    async def _fan_out(
        self,
        model: LocalModel,
        commands: Sequence[wire.Chat | wire.Complete],
        sampling: Sampling,
        is_wanted: Callable[[int], bool] = all_wanted,
    ) -> AsyncGenerator[Event, None]:
        try:
            pooled = await self._pooled(model)
        except SpnlError as error:
            for candidate in range(len(commands)):
                yield _failure(error, candidate)
            return
        if pooled.plan.completion_only and any(isinstance(command, wire.Chat) for command in commands):
            # The runner would say so as well, when the model is loaded.
            for candidate in range(len(commands)):
                yield dataclasses.replace(request_failure(NoChatTemplate()), candidate=candidate)
            return
        if pooled.plan.max_sequences == 1:
            # One after the other, each queued anew: another conversation gets its turn in between.
            for candidate, command in enumerate(commands):
                if not is_wanted(candidate):
                    yield ReplyFinished(finish_reason="cancelled", candidate=candidate)
                    continue
                # Only the first can start from the seed's state; the others go on from there.
                seed = sampling.seed if candidate == 0 and sampling.temperature > 0 else None
                async with aclosing(self._request(pooled, command, candidate, seed, is_wanted)) as events:
                    async for event in events:
                        yield event
            return
        if sampling.seed is not None and sampling.temperature > 0:
            refusal = SpnlError(
                "The seed cannot be honoured",
                "On this device requests share one stream of random numbers.",
                "Leave the seed out, or use temperature 0.",
            )
            for candidate in range(len(commands)):
                yield _failure(refusal, candidate)
            return
        streams = [
            self._request(pooled, command, candidate, None, is_wanted)
            for candidate, command in enumerate(commands)
        ]
        async with aclosing(merge(streams)) as merged:
            async for event in merged:
                yield event

    async def _request(
        self,
        pooled: PooledModel,
        command: wire.Chat | wire.Complete,
        candidate: int,
        seed: int | None,
        is_wanted: Callable[[int], bool],
    ) -> AsyncGenerator[Event, None]:
        """One command and its events."""
        asked = time.monotonic()
        turns = self._turns(pooled)
        sharing = (each for each in self._pool.models if self._turns(each) is turns)
        progress = {each: each.make_way(command) for each in sharing}
        turn = turns.ask()
        abandoned: list[Rest] = []
        served = False
        self._waiting += 1
        try:
            if not turn.done():
                yield progress[pooled] or RequestQueued(ahead=self._waiting - 1)
            await turn
            pooled.serving += 1
            served = True
            let_in = time.monotonic()
            async with aclosing(self._load_for(pooled, command, seed)) as loading:
                async for event in loading:
                    if isinstance(event, RequestFailed):
                        yield dataclasses.replace(event, candidate=candidate)
                        return
                    yield event
            loaded = time.monotonic()
            serving = pooled.serve(command, abandoned.append, lambda: is_wanted(candidate))
            async with aclosing(serving) as events:
                async for event in events:
                    if isinstance(event, ReplyFinished):
                        timing = dataclasses.replace(
                            event.timing, load_s=loaded - let_in, queue_s=let_in - asked
                        )
                        event = dataclasses.replace(event, timing=timing)
                    if candidate and isinstance(event, (ReplyChunk, *FINAL)):
                        event = dataclasses.replace(event, candidate=candidate)
                    yield event
        finally:
            if abandoned:
                # Leaving must not wait: the next request does, until the runner is free again.
                self._later(partial(self._let_go_after, abandoned[0], pooled, turn))
            else:
                self._let_go(pooled, turn, served)

    async def _load_for(
        self, pooled: PooledModel, command: wire.Chat | wire.Complete, seed: int | None
    ) -> AsyncGenerator[Event, None]:
        if pooled.serving == 1 and pooled.should_be_renewed(command):
            # It is longer than was foreseen, or others have waited ever since the runner was idle.
            await pooled.end()
        if pooled.state == "unloaded":
            try:
                await self._pool.make_room(pooled)
            except SpnlError as error:
                yield _failure(error)
                return
        discard = None if seed is None else discard_for_seed(seed)
        async with aclosing(pooled.load(seed_discard=discard)) as events:
            async for event in events:
                self._note(pooled.model, event)
                yield event

    async def _let_go_after(self, rest: Rest, pooled: PooledModel, turn: asyncio.Future[None]) -> None:
        try:
            await rest(self._turns(pooled))
        finally:
            self._let_go(pooled, turn, True)

    def _let_go(self, pooled: PooledModel, turn: asyncio.Future[None], served: bool) -> None:
        # The turn may have come in the very moment in which nobody wanted it any more.
        self._waiting -= 1
        if served:
            pooled.serving -= 1
        self._turns(pooled).leave(turn)
        if served and not self._closed and pooled.has_grown():
            self._later(partial(self._renew, pooled))

    def _turns(self, pooled: PooledModel) -> FairQueue:
        if pooled.plan.max_sequences == 1:
            return self._cpu
        return self._accelerators.setdefault(pooled.model, FairQueue(self._max_concurrent))

    # ── in the background ─────────────────────────────────────────────────────────────────────────

    async def _renew(self, pooled: PooledModel) -> None:
        # On a CPU the prefix cache is never evicted: only a new process gives that memory back.
        turns = self._turns(pooled)
        turn = turns.ask()
        try:
            await turn
            if pooled.state == "idle" and pooled.has_grown():
                log.info("renewing the runner of %s", pooled.model.name)
                await pooled.renew(turns)
        finally:
            turns.leave(turn)

    async def _prefetch(self, model: LocalModel, prefetch: Prefetch) -> None:
        try:
            if (pooled := self._pool.get(model)) is not None:
                turns = self._turns(pooled)
                async with turn_of(prefetch, turns) as came:
                    if came:
                        await pooled.read_ahead(prefetch, turns)
        finally:
            prefetch.ended.set()

    def _note(self, model: LocalModel, event: Event) -> None:
        if isinstance(event, ModelLoaded) and self._on_loaded is not None:
            self._later(partial(self._on_loaded, model))

    def _later(self, work: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await work()

        task = asyncio.create_task(run())
        self._background.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("in the background: %r", error, exc_info=error)


def _failure(error: SpnlError, candidate: int = 0) -> RequestFailed:
    return RequestFailed(
        kind="load", title=error.title, message=error.message, hint=error.hint, candidate=candidate
    )
