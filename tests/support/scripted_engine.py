"""An engine without a model: replays events, and waits where the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path

from spnl_tui.engine.mistralrs.pool import LoadedModel
from spnl_tui.engine.mistralrs.prefetch import Reading
from spnl_tui.engine.mistralrs.wire import (
    Event,
    LoadProgressed,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    Timing,
    Usage,
)
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Message, Sampling
from tests.support.engines import fake_plan

MODEL = LocalModel("SmolLM2-135M-Instruct", "gguf", Path("/models"), ("smollm2.gguf",))

Step = Event | asyncio.Event | float
"""An event to yield, something to wait for, or seconds to sleep."""


def reply(text: str, *, pieces: int = 1, reasoning: str = "", finish: str = "stop") -> list[Step]:
    """The events of a whole reply, its text in so many pieces."""
    size = -(-len(text) // pieces) or 1
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    steps: list[Step] = [PrefillProgressed(id=1, done=0, total=20)]
    if reasoning:
        steps.append(ReplyChunk(id=1, reasoning=reasoning, tokens=len(reasoning.split())))
    steps += [ReplyChunk(id=1, text=part, tokens=number * 4) for number, part in enumerate(parts, 1)]
    steps.append(
        ReplyFinished(
            id=1,
            finish_reason=finish,  # type: ignore[arg-type]
            usage=Usage(prompt_tokens=20, completion_tokens=4 * len(parts)),
            timing=Timing(ttft_s=0.2, prefill_s=0.1, itl_s=0.0125, decode_tokens_per_s=80.0),
        )
    )
    return steps


def failure(title: str, message: str = "", hint: str = "") -> RequestFailed:
    """The end of a request that has no good one."""
    return RequestFailed(id=1, kind="internal", title=title, message=message, hint=hint)


@dataclass
class ScriptedEngine:
    """Has the interface of `Engine`. Each chat takes the next script; without one, the reply is "Yes."."""

    scripts: list[list[Step]] = field(default_factory=list)
    load_script: list[Step] = field(
        default_factory=lambda: [
            LoadProgressed(id=1, stage="reading"),
            ModelLoaded(id=1, seconds=0.5, context_length=8192),
        ]
    )
    asked: list[tuple[Message, ...]] = field(default_factory=list)
    """The messages of each chat."""
    went_on: int = 0
    """Chats that were to go on with their last message."""
    asides: list[bool | None] = field(default_factory=list)
    """Of each chat that is no turn of a conversation, whether the model may think."""
    requests: list[tuple[LocalModel, Sampling, object]] = field(default_factory=list)
    """Model, sampling and grammar of each chat."""
    cancelled: int = 0
    """Chats that were left before their end."""
    closed: bool = False
    side_by_side: bool = False
    """Whether several replies to one prompt come at once."""
    context_length: int | None = 8192
    pool: tuple[LoadedModel, ...] | None = None
    """What is loaded: if None, the one model."""
    unloaded: list[LocalModel] = field(default_factory=list)
    put_away: bool = False
    """Whether what is not loaded was unloaded for not being used."""
    read: list[Reading] = field(default_factory=list)
    """What was to be read ahead."""

    async def count_tokens(self, model: LocalModel, texts: Sequence[str]) -> tuple[int, ...] | None:
        """A token for each word."""
        return tuple(len(text.split()) for text in texts)

    def was_put_away(self, model: LocalModel) -> bool:
        return self.put_away

    def read_ahead(self, model: LocalModel, reading: Reading) -> None:
        """Note it. It goes on until it is stopped, or the test ends it."""
        self.read.append(reading)

    def loaded(self) -> tuple[LoadedModel, ...]:
        if self.pool is not None:
            return self.pool
        return (LoadedModel(MODEL, None, "idle", 0, self.context_length, fake_plan()),)

    async def unload(self, model: LocalModel) -> None:
        self.unloaded.append(model)
        self.pool = tuple(each for each in self.loaded() if each.model != model)

    async def generate_chat(
        self,
        model: LocalModel,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        n: int = 1,
        thinking: bool | None = None,
        grammar: object = None,
        go_on: bool = False,
        aside: bool = False,
        is_wanted: Callable[[int], bool] = lambda candidate: True,
    ) -> AsyncGenerator[Event, None]:
        if n > 1:
            alone = [
                _while_wanted(
                    self.generate_chat(model, messages, sampling, thinking=thinking, grammar=grammar),
                    candidate,
                    is_wanted,
                )
                for candidate in range(n)
            ]
            async with aclosing(_merged(alone) if self.side_by_side else _chained(alone)) as events:
                async for event in events:
                    yield event
            return
        self.asked.append(tuple(messages))
        self.went_on += go_on
        if aside:
            self.asides.append(thinking)
        self.requests.append((model, sampling, grammar))
        script = self.scripts.pop(0) if self.scripts else reply("Yes.")
        finished = False
        try:
            async for event in _play(script):
                # Whoever gets the last event need not ask for another.
                finished = isinstance(event, ReplyFinished | RequestFailed)
                yield event
        finally:
            self.cancelled += not finished

    async def load(self, model: LocalModel) -> AsyncGenerator[Event, None]:
        async for event in _play(self.load_script):
            yield event

    async def close(self) -> None:
        self.closed = True


async def _play(script: Sequence[Step]) -> AsyncGenerator[Event, None]:
    for step in script:
        if isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        else:
            yield step


async def _while_wanted(
    events: AsyncGenerator[Event, None], candidate: int, is_wanted: Callable[[int], bool]
) -> AsyncGenerator[Event, None]:
    """The events of one of several replies, as the engine gives them."""
    async with aclosing(events):
        while is_wanted(candidate):
            following = asyncio.ensure_future(anext(events))
            try:
                while not following.done() and is_wanted(candidate):
                    await asyncio.wait({following}, timeout=0.01)
                if not following.done():
                    break
            finally:
                following.cancel()
                await asyncio.wait({following})
            event = following.result()
            if not isinstance(event, ReplyChunk | ReplyFinished | RequestFailed):
                yield event
                continue
            yield replace(event, candidate=candidate)
            if not isinstance(event, ReplyChunk):
                return
        yield ReplyFinished(id=1, finish_reason="cancelled", candidate=candidate)


async def _chained(parts: Sequence[AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
    for part in parts:
        async with aclosing(part) as events:
            async for event in events:
                yield event


async def _merged(parts: Sequence[AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
    queue: asyncio.Queue[Event] = asyncio.Queue()

    async def pump(part: AsyncGenerator[Event, None]) -> None:
        async with aclosing(part) as events:
            async for event in events:
                queue.put_nowait(event)

    pumps = [asyncio.create_task(pump(part)) for part in parts]
    try:
        left = len(pumps)
        while left:
            event = await queue.get()
            left -= isinstance(event, ReplyFinished | RequestFailed)
            yield event
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.wait(pumps)
