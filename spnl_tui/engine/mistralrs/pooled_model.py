"""One model of the pool: its runner processes, and the contents of their prefix cache."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Literal, TypeVar

import psutil

from spnl_tui.engine.backend import (
    LoadEvent,
    LoadProgressed,
    LoadState,
    ModelLoaded,
    PrefillProgressed,
    ReplyFinished,
)
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.cache.growth import Growth
from spnl_tui.engine.mistralrs.cache.prefetch import Reading, is_worth_it, read
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.engine.mistralrs.loading import LOAD_ENDED, Load, failure, load_command
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.errors import RunnerError
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.prompts.common_prefix import common_characters
from spnl_tui.models.request import Message, Sampling
from spnl_tui.models.tools import Tool

Spawn = Callable[[dict[str, str]], Awaitable[RunnerProcess]]
AnyPrompt = TypeVar("AnyPrompt", bound=wire.Chat | wire.Complete)

CANCEL_BOUND_S = 2.0
"""Seconds that the next prompt may wait for an abandoned one before the runner is ended."""
LEAST_PATIENCE_S = 0.1


class PooledModel:
    """A model and, while it is loaded, the process that runs it.

    `discard` returns how many sampled tokens a new process discards (see `wire.Load`). `images` is the
    directory of stored images.
    """

    def __init__(
        self, model: LocalModel, plan: LoadPlan, spawn: Spawn, discard: Callable[[], int], images: str = ""
    ) -> None:
        self.model = model
        self._images = images
        self.handle = to_handle(model)
        self.plan = plan
        self.wanted_context: int | None = None
        """The context length in tokens that the user chose for this model."""
        self._next_plan: LoadPlan | None = None
        self.last_used = time.monotonic()
        self.context_length: int | None = None
        self.template_tokens: int | None = None
        self.idle_unloaded = False
        """True if the model was unloaded only because it was not used for a while."""
        self.serving = 0
        """The number of admitted requests on the model. It is idle at 0, even if others wait."""
        self._spawn = spawn
        self._discard = discard
        self._process: RunnerProcess | None = None
        self._load: Load | None = None
        self._load_task: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._load_s = 0.0
        self._growth = Growth(plan)
        self._seed_ready: int | None = None
        self._last_conversation: tuple[Message, ...] = ()
        self._last_tools: tuple[Tool, ...] = ()
        self._cached: deque[tuple[Message, ...]] = deque(maxlen=4)
        """The last messages that this process has read completely."""
        self._reading: Reading | None = None

    @property
    def process(self) -> RunnerProcess | None:
        """The runner; None if the model is not loaded."""
        return self._process

    @property
    def pid(self) -> int | None:
        """The runner's process id; None if there is no runner."""
        return self._process.pid if self._process and self._process.ended is None else None

    @property
    def state(self) -> LoadState | Literal["unloaded"]:
        """The current state of the model."""
        if self._load is not None and not self._load.ended:
            return "loading"
        if self.pid is None:
            return "unloaded"
        return "busy" if self.serving else "idle"

    def memory_bytes(self) -> int:
        """Return the bytes of memory of the runner on its device that the system cannot reclaim; 0 without a
        runner."""
        if (pid := self.pid) is None:
            return 0
        if self.plan.device != "cpu":
            # Paged attention allocates all planned memory at once. No system reports the share of each
            # process.
            return 0 if self.state == "loading" else self.plan.memory.total
        try:
            memory = psutil.Process(pid).memory_info()
        except psutil.Error:  # the process has just ended
            return 0
        # Some platforms count the mapped model file as shared; the system can drop it at any time.
        return int(memory.rss - getattr(memory, "shared", 0))

    def has_grown(self, next: wire.Prompt | None = None) -> bool:
        """Return True if the runner could outgrow its plan with the next request; see `Growth`.

        Always False on a graphics processor, where the runner takes all planned memory at once.
        """
        return self.plan.device == "cpu" and self._growth.is_due(self.memory_bytes(), next)

    def should_be_renewed(self, prompt: wire.Prompt) -> bool:
        """Return True if a new process should read this prompt.

        One reason is that this process could outgrow its plan. The other is that it must read most of the
        prompt and has no memory to do so in steps: a prefill in one piece shows no progress and cannot stop.
        """
        if self.has_grown(prompt):
            return True
        if isinstance(prompt, wire.Complete) or not self._keeps_prefixes or self.plan.window is not None:
            return False
        most = 2 * self._new_tokens(prompt) >= self._growth.tokens(prompt)
        return most and self._growth.is_tight(self.memory_bytes(), prompt)

    def patience_s(self, *, decoding: bool) -> float:
        """Return the seconds that the next prompt may wait for an abandoned one before the process is
        ended."""
        return CANCEL_BOUND_S if decoding else max(LEAST_PATIENCE_S, CANCEL_BOUND_S - self._load_s)

    # ── loading ───────────────────────────────────────────────────────────────────────────────────

    async def load(self, *, seed_discard: int | None = None) -> AsyncGenerator[LoadEvent, None]:
        """Load the model and yield the events of the load from its beginning; none if the model is loaded.

        `seed_discard` sets the state of the random numbers. A process that has drawn any is replaced.
        """
        if seed_discard is not None and self._seed_ready != seed_discard:
            await self.end()
        if self.pid is None and (self._load is None or self._load.ended):
            self.idle_unloaded = False
            load = self._load = Load()
            self._load_task = asyncio.create_task(self._run_load(load, seed_discard))
            self._load_task.add_done_callback(lambda _: load.stop(self.model.name))
        if self._load is not None and not self._load.ended:
            async for event in self._load.follow():
                yield event

    def replan(self, plan: LoadPlan) -> None:
        """Use this plan from the next load on; see `take_up_plan`."""
        self._next_plan = plan

    async def take_up_plan(self) -> None:
        """Switch to the new plan, if any, and end the process of the old one. Call it while no request
        runs."""
        if (plan := self._next_plan) is not None:
            self._next_plan = None
            await self.end()
            self.plan, self._growth = plan, Growth(plan)

    async def load_again(self, queue: FairQueue) -> None:
        """Load the model and read the last conversation into its prefix cache."""
        async for _ in self.load():
            pass
        await self.read_last(queue)

    async def renew(self, queue: FairQueue) -> None:
        """Replace the process to free memory that only its end frees."""
        await self.end()
        await self.load_again(queue)

    async def end(self) -> None:
        """End the process, loading or not. The load and the request that run on it fail."""
        process, self._process = self._process, None
        load = self._load_task
        if load is not None and not load.done() and (process is None or process.ended is not None):
            load.cancel()  # it has no process yet
        # A task continues if the caller is cancelled, and the next caller waits for it.
        ending = asyncio.create_task(_end(process, load))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.wait(list(self._endings))

    async def _run_load(self, load: Load, seed_discard: int | None) -> None:
        discard = self._discard() if seed_discard is None else seed_discard
        load.add(LoadProgressed(stage="starting the runner"))
        try:
            process = await self._spawn(dict(self.plan.environment))
        except RunnerError as error:
            load.add(failure("load", error.title, error.message, error.hint))
            return
        self._process = process
        self._cached.clear()
        command_id = process.next_id()
        events = process.subscribe(command_id)
        await process.send(load_command(command_id, self.model, self.plan, discard, self._images))
        while True:
            event = await events.get()
            if isinstance(event, wire.RunnerEnded):
                event = failure(
                    "load",
                    "The engine stopped while loading",
                    f"{self.model.name}: {event.reason}.",
                    "Try again; if memory ran out, choose a smaller quantization.",
                )
            if isinstance(event, LOAD_ENDED):
                break
            if isinstance(event, LoadProgressed):
                load.add(event)
        process.unsubscribe(command_id)
        if isinstance(event, ModelLoaded):
            if (limit := self.plan.context_limit) is not None:
                event = replace(event, context_length=min(limit, event.context_length or limit))
            self.context_length = event.context_length
            self.template_tokens = event.template_tokens
            self._load_s = event.seconds
            self._growth.loaded(self.memory_bytes())
            self._seed_ready = discard
            self.last_used = time.monotonic()
        else:
            await process.end()
        load.add(event)

    # ── requests ──────────────────────────────────────────────────────────────────────────────────

    def begin(self, prompt: AnyPrompt) -> AnyPrompt:
        """Return the prompt with its current memory limit, before it is sent. It will draw random numbers."""
        self._seed_ready = None
        return replace(prompt, prefill_room=self._growth.prefill_room(self.memory_bytes(), prompt))

    def answered(self, prompt: wire.Prompt, said: tuple[Message, ...], end: ReplyFinished) -> None:
        """Record the end of a reply. `said` is the conversation including the reply; empty for a
        completion."""
        self._growth.served(prompt, end.usage)
        if said and end.finish_reason != "cancelled":
            self._cached.append(said)

    def remember(self, said: tuple[Message, ...], tools: tuple[Tool, ...] = ()) -> None:
        """Remember the conversation, so that a new process can read it into its cache."""
        self._last_conversation, self._last_tools = said, tools

    async def count_tokens(self, texts: tuple[str, ...]) -> tuple[int, ...] | None:
        """Return the token counts; None while no loaded runner can count."""
        process = self._process
        if process is None or self.state not in ("idle", "busy"):
            return None
        command_id = process.next_id()
        events = process.subscribe(command_id)
        try:
            await process.send(wire.Tokenize(id=command_id, texts=texts))
            event = await events.get()
            return event.counts if isinstance(event, wire.Tokenized) else None
        finally:
            process.unsubscribe(command_id)

    # ── prefetch ──────────────────────────────────────────────────────────────────────────────────

    async def read_ahead(self, prefetch: Prefetch, queue: FairQueue) -> None:
        """Read an expected prompt into the prefix cache if that saves time and memory allows it.

        It stops after the current step when a request waits.
        """
        if self.state != "idle" or not self._has_use_for(prefetch):
            return
        command = wire.ReadAhead(id=0, messages=prefetch.messages, tools=prefetch.tools)
        if not is_worth_it(self._new_tokens(command), self._growth.tokens(command)):
            return
        if self.should_be_renewed(command):  # better now than when the prompt is sent
            await self.end()
            async for _ in self.load():
                pass
            if queue.wanted or prefetch.stopped.is_set():
                return
        if self._growth.room_ahead(self.memory_bytes(), command) != 0:
            await self._read(prefetch, queue)

    async def read_last(self, queue: FairQueue) -> None:
        """Read the last conversation into the prefix cache, so that its next reply begins without delay."""
        prefetch = Prefetch(self._last_conversation, Sampling(), tools=self._last_tools)
        if prefetch.messages and self._has_use_for(prefetch) and not queue.wanted:
            await self._read(prefetch, queue)

    def make_way(self, prompt: wire.Prompt) -> PrefillProgressed | None:
        """Stop a prefetch because this prompt waits. Return the progress if the prefetch serves the
        prompt."""
        return None if self._reading is None else self._reading.make_way(prompt)

    @property
    def _keeps_prefixes(self) -> bool:
        """True if the runner reads in steps and can reuse its prefix cache."""
        return self.plan.device == "cpu" and self.plan.prefix_cache > 0 and not self.plan.completion_only

    def _has_use_for(self, prefetch: Prefetch) -> bool:
        if not self._keeps_prefixes:
            return False
        if prefetch.sampling.seed is not None and prefetch.sampling.temperature > 0:
            return False  # a seed needs a new process
        command = wire.ReadAhead(id=0, messages=prefetch.messages, tools=prefetch.tools)
        # A conversation longer than half the attention window will soon be read again in any case.
        return self.plan.window is None or self._growth.tokens(command) <= self.plan.window // 2

    def _new_tokens(self, prompt: wire.Chat | wire.ReadAhead) -> int:
        """Return about how many tokens of this prompt are missing in the prefix cache."""
        known = max((common_characters(prompt.messages, each) for each in self._cached), default=0)
        return self._growth.tokens(prompt, without=known)

    async def _read(self, prefetch: Prefetch, queue: FairQueue) -> None:
        if (process := self._process) is None:
            return
        self._seed_ready = None
        room = self._growth.room_ahead(
            self.memory_bytes(), wire.ReadAhead(id=0, messages=prefetch.messages, tools=prefetch.tools)
        )
        reading = self._reading = Reading(prefetch)
        try:
            if await read(process, reading, queue, room=room, patience=self.patience_s(decoding=False)):
                self._cached.append(prefetch.messages)
        finally:
            self._reading = None
            self.last_used = time.monotonic()


async def _end(process: RunnerProcess | None, load: asyncio.Task[None] | None) -> None:
    if process is not None:
        await process.end()
    if load is not None:
        await asyncio.wait([load])
