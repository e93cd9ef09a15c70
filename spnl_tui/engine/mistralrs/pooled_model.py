"""One model of the pool: its runner process over time, and one request after the other on it."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import psutil

from spnl_tui.engine.backend import (
    FINAL,
    Event,
    LoadEvent,
    LoadProgressed,
    LoadState,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
)
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.growth import Growth
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.engine.mistralrs.loading import LOAD_ENDED, Load, failure, load_command
from spnl_tui.engine.mistralrs.prefetch import Reading, is_worth_it, read
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.errors import RunnerError
from spnl_tui.models.common_prefix import common_characters
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Message, Sampling

Rest = Callable[[FairQueue], Awaitable[None]]
"""What is still to be done, later, and less of it if somebody waits."""
Spawn = Callable[[dict[str, str]], Awaitable[RunnerProcess]]

CANCEL_BOUND_S = 2.0
"""The next prompt waits for an abandoned one no longer than this, or than the model takes to load."""
LEAST_PATIENCE_S = 0.1


def wanted() -> bool:
    """A reply that is wanted to its end."""
    return True


class PooledModel:
    """A model, and the process that runs it, if one does now.

    `discard` says for each new process how many sampled tokens it throws away (see `protocol.Load`).
    """

    def __init__(self, model: LocalModel, plan: LoadPlan, spawn: Spawn, discard: Callable[[], int]) -> None:
        self.model = model
        self.handle = to_handle(model)
        self.plan = plan
        self.last_used = time.monotonic()
        self.context_length: int | None = None
        self.template_tokens: int | None = None
        self.idle_unloaded = False
        """Whether it was unloaded only for not being used for a while."""
        self.serving = 0
        """Requests that were let in and run on it: it is idle at 0, whoever waits."""
        self._spawn = spawn
        self._discard = discard
        self._process: RunnerProcess | None = None
        self._load: Load | None = None
        self._load_task: asyncio.Task[None] | None = None
        self._endings: set[asyncio.Task[None]] = set()
        self._load_s = 0.0
        self._growth = Growth(plan)
        self._seed_ready: int | None = None
        self._said: tuple[Message, ...] = ()
        self._cached: deque[tuple[Message, ...]] = deque(maxlen=4)
        """The last that this process has read to its end."""
        self._reading: Reading | None = None

    @property
    def pid(self) -> int | None:
        """The runner's process id, None if there is none."""
        return self._process.pid if self._process and self._process.ended is None else None

    @property
    def state(self) -> LoadState | Literal["unloaded"]:
        """ "loading", "busy", "idle", or "unloaded"."""
        if self._load is not None and not self._load.ended:
            return "loading"
        if self.pid is None:
            return "unloaded"
        return "busy" if self.serving else "idle"

    def memory_bytes(self) -> int:
        """The runner's memory on its device that the system cannot reclaim: 0 if there is none."""
        if (pid := self.pid) is None:
            return 0
        if self.plan.device != "cpu":
            # Paged attention takes it at once, as planned; no system tells how much each process has.
            return 0 if self.state == "loading" else self.plan.memory.total
        try:
            memory = psutil.Process(pid).memory_info()
        except psutil.Error:  # it ended between the two lines
            return 0
        # The mapped model file counts as shared where the platform tells; it can be dropped at any time.
        return int(memory.rss - getattr(memory, "shared", 0))

    def has_grown(self, next: wire.Prompt | None = None) -> bool:
        """Whether the runner could outgrow its plan with the next request; see `Growth`.

        On a graphics processor it takes all that is planned at once.
        """
        return self.plan.device == "cpu" and self._growth.is_due(self.memory_bytes(), next)

    def should_be_renewed(self, prompt: wire.Prompt) -> bool:
        """Whether this prompt is for a new process: this one could outgrow its plan with it.

        Or it could not read it in steps, and most of it must be read: that is worth a load, for a prefill in
        one piece tells nothing of its progress, and does not stop.
        """
        if self.has_grown(prompt):
            return True
        if isinstance(prompt, wire.Complete) or not self._keeps_prefixes or self.plan.window is not None:
            return False
        most = 2 * self._new(prompt) >= self._growth.tokens(prompt)
        return most and self._growth.is_tight(self.memory_bytes(), prompt)

    # ── loading ───────────────────────────────────────────────────────────────────────────────────

    async def load(self, *, seed_discard: int | None = None) -> AsyncGenerator[LoadEvent, None]:
        """Have the model loaded: nothing if it is, else the events of the load from its beginning.

        With `seed_discard` the random numbers must stand exactly there: a process that has drawn others
        is replaced.
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
        await process.send(load_command(command_id, self.model, self.plan, discard))
        while True:
            event = await events.get()
            if isinstance(event, wire.RunnerEnded):
                event = failure(
                    "load",
                    "The runner ended while loading",
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

    async def serve(
        self,
        command: wire.Prompt,
        on_abandoned: Callable[[Rest], None],
        is_wanted: Callable[[], bool] = wanted,
    ) -> AsyncGenerator[Event, None]:
        """Send one command to the loaded runner, with an id of its own, and yield its events up to the last.

        With every event `is_wanted` is asked whether the reply is still wanted; else it is stopped.
        If the caller leaves before that, `on_abandoned` is given what must still be done, and done
        before the next request: to stop the engine, softly or by ending the process.
        """
        if (process := self._process) is None:
            yield failure("internal", "The model was unloaded", self.model.name, "Send again to load it.")
            return
        self._seed_ready = None
        command_id = process.next_id()
        room = self._growth.prefill_room(self.memory_bytes(), command)
        command = dataclasses.replace(command, id=command_id, prefill_room=room)
        turn = command if isinstance(command, wire.Chat) and not command.ephemeral else None
        events = process.subscribe(command_id)
        decoding = finished = failed = told = False
        reply = ""
        try:
            await process.send(command)
            while not finished:
                event = await events.get()
                if not (told or is_wanted()):
                    told = True
                    await process.send(wire.Cancel(id=process.next_id(), target=command_id))
                if isinstance(event, wire.RunnerEnded):
                    event = failure(
                        "internal",
                        "The runner ended",
                        f"{self.model.name}: {event.reason}.",
                        "Send again: a new runner starts by itself.",
                    )
                if isinstance(event, ReplyChunk):
                    decoding = True
                    reply += event.text
                elif isinstance(event, ReplyFinished):
                    self._growth.served(command, event.usage)
                    if isinstance(command, wire.Chat) and event.finish_reason != "cancelled":
                        self._cached.append(_with_reply(command, reply))
                finished, failed = isinstance(event, FINAL), isinstance(event, RequestFailed)
                if isinstance(event, Event):
                    yield event
        finally:
            self.last_used = time.monotonic()
            if turn is not None and (decoding or finished) and not failed:
                self._said = _with_reply(turn, reply)
            if finished:
                process.unsubscribe(command_id)
            else:
                on_abandoned(partial(self._abandon, process, command_id, events, decoding, turn is not None))

    async def _abandon(
        self,
        process: RunnerProcess,
        command_id: int,
        events: asyncio.Queue[wire.Event],
        decoding: bool,
        goes_on: bool,
        turns: FairQueue,
    ) -> None:
        """Free the runner of a request that nobody waits for.

        In decode the runner drops the stream at once; mistral.rs then keeps nothing of the turn, which is
        read again while nobody asks. In prefill it can only be ended, unless the step that it is in ends
        soon: whatever comes first within the bound.
        """
        await process.send(wire.Cancel(id=process.next_id(), target=command_id))
        patience = CANCEL_BOUND_S if decoding else max(LEAST_PATIENCE_S, CANCEL_BOUND_S - self._load_s)
        try:
            async with asyncio.timeout(patience):
                while not isinstance(await events.get(), (*FINAL, wire.RunnerEnded)):
                    pass
        except TimeoutError:
            await process.end()
            if self._process is process:  # not unloaded meanwhile
                # Still wanted: whoever stopped a prompt is about to send another.
                await self._load_again(turns)
            return
        process.unsubscribe(command_id)
        if decoding and goes_on and not self.has_grown():  # or the next process reads it
            await self._read_ahead(turns)

    async def count_tokens(self, texts: tuple[str, ...]) -> tuple[int, ...] | None:
        """Token counts, None while there is no loaded runner to ask."""
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

    async def renew(self, turns: FairQueue) -> None:
        """Replace the process by a new one, to be rid of memory that only its end gives back."""
        await self.end()
        await self._load_again(turns)

    async def _load_again(self, turns: FairQueue) -> None:
        """Load the model, and read the last conversation into its prefix cache."""
        async for _ in self.load():
            pass
        await self._read_ahead(turns)

    # ── reading ahead ─────────────────────────────────────────────────────────────────────────────

    async def read_ahead(self, prefetch: Prefetch, turns: FairQueue) -> None:
        """Read what is about to be asked into the prefix cache, if there is enough of it, and memory.

        Stops when somebody waits, after the step that it is in.
        """
        if self.state != "idle" or not self._has_use_for(prefetch):
            return
        command = wire.ReadAhead(id=0, messages=prefetch.messages)
        if not is_worth_it(self._new(command), self._growth.tokens(command)):
            return
        if self.should_be_renewed(command):  # before it is asked this, and not then
            await self.end()
            async for _ in self.load():
                pass
            if turns.wanted or prefetch.stopped.is_set():
                return
        if self._growth.room_ahead(self.memory_bytes(), command) != 0:
            await self._read(prefetch, turns)

    def make_way(self, prompt: wire.Prompt) -> PrefillProgressed | None:
        """This prompt is about to wait for what is read ahead. If that is this prompt: how far it is."""
        return None if self._reading is None else self._reading.make_way(prompt)

    async def _read_ahead(self, turns: FairQueue) -> None:
        """Read the last conversation into the prefix cache: its next turn is then as quick as ever."""
        prefetch = Prefetch(self._said, Sampling())
        if self._said and self._has_use_for(prefetch) and not turns.wanted:
            await self._read(prefetch, turns)

    @property
    def _keeps_prefixes(self) -> bool:
        """Whether it reads in steps, and has a use for what was read before."""
        return self.plan.device == "cpu" and self.plan.prefix_cache > 0 and not self.plan.completion_only

    def _has_use_for(self, prefetch: Prefetch) -> bool:
        if not self._keeps_prefixes:
            return False
        if prefetch.sampling.seed is not None and prefetch.sampling.temperature > 0:
            return False  # a process is made anew for a seed
        command = wire.ReadAhead(id=0, messages=prefetch.messages)
        # Beyond half of a window it is, or will soon be, read anew all the same.
        return self.plan.window is None or self._growth.tokens(command) <= self.plan.window // 2

    def _new(self, prompt: wire.Chat | wire.ReadAhead) -> int:
        """About how many tokens of this prompt the prefix cache does not hold, as far as is known here."""
        known = max((common_characters(prompt.messages, each) for each in self._cached), default=0)
        return self._growth.tokens(prompt, without=known)

    async def _read(self, prefetch: Prefetch, turns: FairQueue) -> None:
        if (process := self._process) is None:
            return
        self._seed_ready = None
        room = self._growth.room_ahead(self.memory_bytes(), wire.ReadAhead(id=0, messages=prefetch.messages))
        patience = max(LEAST_PATIENCE_S, CANCEL_BOUND_S - self._load_s)
        reading = self._reading = Reading(prefetch)
        try:
            if await read(process, reading, turns, room=room, patience=patience):
                self._cached.append(prefetch.messages)
        finally:
            self._reading = None
            self.last_used = time.monotonic()

    async def end(self) -> None:
        """End the process, loading or not. Whoever follows the load or a request sees it fail."""
        process, self._process = self._process, None
        load = self._load_task
        if load is not None and not load.done() and (process is None or process.ended is not None):
            load.cancel()  # it has no process yet
        # In a task: an end that nobody waits for any more goes on, and the next to call waits for it, too.
        ending = asyncio.create_task(_end(process, load))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        await asyncio.wait(list(self._endings))


async def _end(process: RunnerProcess | None, load: asyncio.Task[None] | None) -> None:
    if process is not None:
        await process.end()
    if load is not None:
        await asyncio.wait([load])


def _with_reply(command: wire.Chat, reply: str) -> tuple[Message, ...]:
    """The conversation as it is after this reply."""
    messages = command.messages
    if command.continue_reply:
        messages, reply = messages[:-1], messages[-1].model_text + reply
    return (*messages, Message("assistant", reply))
