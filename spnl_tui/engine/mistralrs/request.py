"""A request for one reply, from its place in the queue to the end of the reply."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from spnl_tui.engine.backend import (
    FINAL,
    Event,
    LoadEvent,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    RequestQueued,
    all_wanted,
    failure_of,
)
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.loading import failure
from spnl_tui.engine.mistralrs.pooled_model import PooledModel
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.engine.mistralrs.scheduler import Scheduler
from spnl_tui.engine.mistralrs.seeds import discard_for_seed
from spnl_tui.errors import SpnlError
from spnl_tui.models.parts import ToolCallPart, as_content
from spnl_tui.models.request import Message


@dataclass(frozen=True, slots=True)
class _Left:
    """A command that still runs after the caller left its request."""

    process: RunnerProcess
    command_id: int
    events: asyncio.Queue[wire.Event]


class RunnerRequest:
    """Serves one request from admission to completion. Use it once."""

    def __init__(
        self,
        model: PooledModel,
        prompt: wire.Chat | wire.Complete,
        *,
        candidate: int = 0,
        seed: int | None = None,
        is_wanted: Callable[[int], bool] = all_wanted,
    ) -> None:
        """`candidate` is the number of the reply in its request. `seed` sets the state of the random
        numbers."""
        self._model = model
        self._prompt = prompt
        self._candidate = candidate
        self._seed = seed
        self._is_wanted = is_wanted
        self._reply = ""
        self._calls: tuple[ToolCallPart, ...] = ()
        self._decoding = False
        self._left: _Left | None = None

    async def events(self, scheduler: Scheduler) -> AsyncGenerator[Event, None]:
        """Wait for admission, load the model and yield the events of the reply.

        Closing the iterator returns at once; the clean-up before the next request runs in the background.
        """
        model, queue = self._model, scheduler.queue_of(self._model)
        asked_at = time.monotonic()
        progress = scheduler.make_way(model, self._prompt)
        place = queue.ask()
        scheduler.waiting += 1
        admitted = False
        try:
            if not place.done():
                yield progress or RequestQueued(ahead=scheduler.waiting - 1)
            await place
            admitted = True
            model.serving += 1
            admitted_at = time.monotonic()
            async with aclosing(self._load(scheduler)) as loading:
                async for load_event in loading:
                    if isinstance(load_event, RequestFailed):
                        yield replace(load_event, candidate=self._candidate)
                        return
                    yield load_event
            load_s, queue_s = time.monotonic() - admitted_at, admitted_at - asked_at
            async with aclosing(self.follow()) as events:
                async for event in events:
                    if isinstance(event, ReplyFinished):
                        timing = replace(event.timing, load_s=load_s, queue_s=queue_s)
                        event = replace(event, timing=timing)
                    if self._candidate and isinstance(event, (ReplyChunk, *FINAL)):
                        event = replace(event, candidate=self._candidate)
                    yield event
        finally:

            async def complete() -> None:
                try:
                    await self.clean_up(queue)
                finally:
                    scheduler.release(model, place, admitted)

            if self._left is None:
                scheduler.release(model, place, admitted)
            else:
                scheduler.later(complete)

    async def _load(self, scheduler: Scheduler) -> AsyncGenerator[LoadEvent, None]:
        model = self._model
        if model.serving == 1:
            await model.take_up_plan()
        if model.serving == 1 and model.should_be_renewed(self._prompt):
            # The prompt is longer than expected, or the runner has had no idle moment since.
            await model.end()
        if model.state == "unloaded":
            try:
                await scheduler.make_room(model)
            except SpnlError as error:
                yield failure_of(error)
                return
        discard = None if self._seed is None else discard_for_seed(self._seed)
        async with aclosing(scheduler.load(model, seed_discard=discard)) as events:
            async for event in events:
                yield event

    async def follow(self) -> AsyncGenerator[Event, None]:
        """Send the prompt to the loaded runner and yield its events up to the last.

        `is_wanted` is called with every event; when it returns False, the runner stops the reply. If the
        caller leaves early, it must call `clean_up` before the next request.
        """
        model = self._model
        if (process := model.process) is None:
            yield failure("internal", "The model was unloaded", model.model.name, "Send again to load it.")
            return
        prompt = model.begin(dataclasses.replace(self._prompt, id=process.next_id()))
        events = process.subscribe(prompt.id)
        last: wire.Event | None = None
        cancelled = False
        try:
            await process.send(prompt)
            while not isinstance(last, FINAL):
                last = await events.get()
                if not (cancelled or self._is_wanted(self._candidate)):
                    cancelled = True
                    await process.send(wire.Cancel(id=process.next_id(), target=prompt.id))
                match last:
                    case wire.RunnerEnded(reason=reason):
                        last = failure(
                            "internal",
                            "The engine stopped unexpectedly",
                            f"{model.model.name}: {reason}.",
                            "Send again. A new runner starts automatically.",
                        )
                    case ReplyChunk(text=text, tool_calls=calls):
                        self._decoding = True
                        self._reply += text
                        self._calls += calls
                    case ReplyFinished():
                        model.answered(prompt, self._said(), last)
                if isinstance(last, Event):
                    yield last
        finally:
            model.last_used = time.monotonic()
            finished = isinstance(last, ReplyFinished)
            if self._is_turn and (finished or (self._decoding and not isinstance(last, RequestFailed))):
                model.remember(self._said(), getattr(self._prompt, "tools", ()))
            if isinstance(last, FINAL):
                process.unsubscribe(prompt.id)
            else:
                self._left = _Left(process, prompt.id, events)

    async def clean_up(self, queue: FairQueue) -> None:
        """Free the runner of an abandoned request. If another request waits, do only what it needs.

        While decoding, the runner drops the stream at once. mistral.rs then caches nothing of the turn, so
        the turn is read again while no request waits. A prefill can only be ended with its process, unless
        its current step ends within the time that the next prompt may wait.
        """
        if self._left is None:
            return
        model, process, command_id = self._model, self._left.process, self._left.command_id
        await process.send(wire.Cancel(id=process.next_id(), target=command_id))
        try:
            async with asyncio.timeout(model.patience_s(decoding=self._decoding)):
                while not isinstance(await self._left.events.get(), (*FINAL, wire.RunnerEnded)):
                    pass
        except TimeoutError:
            await process.end()
            if model.process is process:  # the model was not unloaded meanwhile
                # Users who stop a prompt usually send another.
                await model.load_again(queue)
            return
        process.unsubscribe(command_id)
        if self._decoding and self._is_turn and not model.has_grown():  # otherwise a new process reads it
            await model.read_last(queue)

    @property
    def _is_turn(self) -> bool:
        """True if a conversation continues from this reply, so caching it pays."""
        return isinstance(self._prompt, wire.Chat) and not self._prompt.ephemeral

    def _said(self) -> tuple[Message, ...]:
        """Return the conversation including this reply; empty for a completion."""
        prompt, reply = self._prompt, self._reply
        if not isinstance(prompt, wire.Chat):
            return ()
        messages = prompt.messages
        if prompt.continue_reply and not prompt.begun_thought:
            messages, reply = messages[:-1], messages[-1].model_text + reply
        return (*messages, Message("assistant", (*as_content(reply), *self._calls)))
