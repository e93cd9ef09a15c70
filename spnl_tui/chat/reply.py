"""Follows one request to its end: the engine's events come in, drawings at a bearable pace go out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from spnl_tui.chat.status import Activity
from spnl_tui.engine.backend import (
    CallProgressed,
    Event,
    LoadProgressed,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    RequestQueued,
)
from spnl_tui.engine.reply import BROKEN_OFF, Reply
from spnl_tui.models.machine import read_machine
from spnl_tui.models.repetition import repeated_part
from spnl_tui.text import plain

_SHORTEST_GAP_S = 0.05
_LONGEST_GAP_S = 0.5
_DRAWING_SHARE = 1 / 12
"""The share of a core for drawing, if the load plan leaves the interface a core of its own."""
_CROWDED_SHARE = 1 / 30
"""The share if the engine has all cores. Its threads spin at barriers, so each waits for the one that drawing
delays: at a twelfth of a core decoding lost 8 %, at a thirtieth 3 % (benchmarks/decode.py)."""
_CROWDED_CORES = 2


class Pace:
    """Decides when to draw next, so that drawing stays below its share of a core.

    It counts all processor time of this thread since the last drawing, because Textual lays out and paints
    after the call that changed something has returned.
    """

    def __init__(self) -> None:
        self._share = _CROWDED_SHARE if read_machine().cores <= _CROWDED_CORES else _DRAWING_SHARE
        self._drawn_at = float("-inf")
        self._cpu_at = 0.0

    def drawing(self) -> None:
        """Record that drawing begins now."""
        self._drawn_at = time.monotonic()
        self._cpu_at = time.thread_time()

    def wait_s(self) -> float:
        """Return the seconds until the next drawing is due; 0 or less if it is due now."""
        spent = time.thread_time() - self._cpu_at
        gap = min(max(_SHORTEST_GAP_S, spent / self._share), _LONGEST_GAP_S)
        return self._drawn_at + gap - time.monotonic()


@dataclass(frozen=True, slots=True)
class Summarizing:
    """The model is summarizing the omitted turns; it has written this many tokens so far."""

    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """The meter's count of the tokens of the request, including the chat template.

    The runner counts only the texts.
    """

    tokens: int


Step: TypeAlias = Event | Summarizing | Counted
"""A step towards a reply."""


class ReplyRun:
    """Follows one request."""

    def __init__(
        self, activity: Activity, clock: Callable[[], float], *, stop_repetition: bool = False
    ) -> None:
        """`stop_repetition` ends a reply that repeats itself."""
        self.reply = Reply()
        self._stop_repetition = stop_repetition
        self.activity = activity
        self.ended = asyncio.Event()
        """Set by the caller of `run` once the reply is in the conversation and saved."""
        self._clock = clock
        self._stop = asyncio.Event()
        self._pending: asyncio.Future[Step] | None = None
        self._asked_at = clock()
        self._first_chunk_at: float | None = None
        self._step_at = 0.0
        self._counted = 0

    @property
    def prompt_tokens(self) -> int:
        """The tokens of the request; 0 while they are unknown."""
        usage = self.reply.usage
        return (usage.prompt_tokens if usage is not None else 0) or self._counted or self.activity.total

    def stop(self) -> None:
        """End at once, with the partial reply."""
        self._stop.set()

    def learn(self, **figures: int | None) -> None:
        """Take over figures that became known elsewhere: `context_length`, `context_used`, `unsent`."""
        self.activity = replace(self.activity, **figures)  # type: ignore[arg-type]

    async def run(
        self, events: AsyncIterator[Step], draw: Callable[[Reply, Activity], Awaitable[None]]
    ) -> Reply:
        """Follow the events to their end or until `stop`, which does not wait for the engine.

        `draw` is called at a bearable pace, and never after this has returned.
        """
        pace = Pace()
        dirty = False
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            while self.reply.finish_reason is None:
                self._pending = self._pending or asyncio.ensure_future(_next(events))
                if dirty and pace.wait_s() <= 0:
                    dirty = False
                    pace.drawing()
                    await draw(self.reply, self.activity)
                timeout = max(0.0, pace.wait_s()) if dirty else None
                either: set[asyncio.Future[Any]] = {self._pending, stopped}
                await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if stopped.done():
                    self.reply.finish_reason = "cancelled"
                elif self._pending.done():
                    event, self._pending = self._pending.result(), None
                    self._take(event)
                    dirty = True
        finally:
            stopped.cancel()
        self.activity = replace(self.activity, state="idle", stage="", since=self._clock())
        return self.reply

    async def close(self) -> None:
        """Stop reading the engine's events, so that the caller can close the iterator."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        pending.cancel()
        again: asyncio.CancelledError | None = None
        # Textual cancels its workers twice when the program ends, and a running iterator cannot be closed.
        while not pending.done():
            try:
                await asyncio.wait({pending})
            except asyncio.CancelledError as error:
                again = error
        if again is not None:
            raise again

    def _take(self, event: Step) -> None:
        match event:
            case Counted():
                self._counted = event.tokens
            case Summarizing():
                self._enter("summarizing", tokens=event.tokens)
            case RequestQueued():
                self._enter("queued", ahead=event.ahead)
            case LoadProgressed():
                self._enter("loading", stage=event.stage)
            case ModelLoaded():
                self.activity = replace(self.activity, context_length=event.context_length)
            case PrefillProgressed():
                self._take_progress(event)
            case CallProgressed():
                self.reply.take(event)
                self._enter("calling", stage=self._running_calls())
            case ReplyChunk():
                self.reply.take(event)
                self._take_chunk(event)
                if self._stop_repetition and (
                    repeated_part(self.reply.text) or repeated_part(self.reply.reasoning)
                ):
                    self.reply.finish_reason = "cancelled"
                    self.reply.stopped_because = "it repeated itself"
            case ReplyFinished():
                self.reply.take(event)
                self._take_end(event)
            case RequestFailed():
                self.reply.take(event)

    def _running_calls(self) -> str:
        """Return the names of the calls that run or wait for the user."""
        running = [step for step in self.reply.calls.values() if step.result is None]
        waiting = any(step.state == "waiting" for step in running)
        names = ", ".join(plain(step.call.name) for step in running)
        return f"{names}, waiting for you" if waiting and names else names

    def _take_progress(self, progress: PrefillProgressed) -> None:
        now, before, ends_at = self._clock(), self.activity, None
        step = progress.done - before.done
        if before.state == "prefill" and step > 0:
            ends_at = now + (now - self._step_at) / step * (progress.total - progress.done)
        self._step_at = now
        self._enter("prefill", done=progress.done, total=progress.total, tokens=0, ends_at=ends_at)

    def _take_chunk(self, chunk: ReplyChunk) -> None:
        now = self._clock()
        if self._first_chunk_at is None:
            self._first_chunk_at = now
            self._enter("replying", ttft_s=now - self._asked_at)
            self._first_tokens = chunk.tokens
        elif self.activity.state != "replying":  # after calls of tools
            self._first_chunk_at, self._first_tokens = now, chunk.tokens
            self._enter("replying")
        decoding = now - self._first_chunk_at
        rate = (chunk.tokens - self._first_tokens) / decoding if decoding > 0.5 else None
        used = self.prompt_tokens + chunk.tokens if self.prompt_tokens else None
        self.activity = replace(
            self.activity,
            tokens=chunk.tokens,
            tokens_per_s=rate,
            context_used=used or self.activity.context_used,
            used_estimated=self.activity.estimates if used else self.activity.used_estimated,
        )

    def _take_end(self, end: ReplyFinished) -> None:
        used = end.usage.prompt_tokens + end.usage.completion_tokens
        self.activity = replace(
            self.activity,
            tokens=end.usage.completion_tokens or self.activity.tokens,
            tokens_per_s=end.timing.decode_tokens_per_s or self.activity.tokens_per_s,
            ttft_s=end.timing.ttft_s if end.timing.ttft_s is not None else self.activity.ttft_s,
            context_used=used or self.activity.context_used,
            used_estimated=self.activity.used_estimated and not end.usage.prompt_tokens,
        )

    def _enter(self, state: str, **figures: object) -> None:
        since = self.activity.since if self.activity.state == state else self._clock()
        figures = {"ends_at": None, **figures}
        self.activity = replace(self.activity, state=state, since=since, **figures)  # type: ignore[arg-type]


async def _next(events: AsyncIterator[Step]) -> Step:
    async for event in events:
        return event
    return BROKEN_OFF
