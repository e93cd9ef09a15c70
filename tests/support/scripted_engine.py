"""An engine without a model: replays events, and waits where the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from spnl_tui.engine.backend import (
    Capabilities,
    ChatRequest,
    Event,
    LoadedModel,
    LoadProgressed,
    ModelHandle,
    ModelLoaded,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
    Timing,
    Usage,
)
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.request import Message, Sampling
from spnl_tui.models.tools import Tool

MODEL = ModelHandle(
    name="SmolLM2-135M-Instruct",
    backend="scripted",
    key=("/models", "smollm2.gguf"),
    capabilities=Capabilities(grammars=True, tools=True),
    engine_version="1.0",
)


def scripted_handle(local: LocalModel) -> ModelHandle:
    """Return the handle of a model in the library."""
    return ModelHandle(name=local.name, backend="scripted", key=(str(local.directory), *local.files))


Step = Event | asyncio.Event | float
"""An event to yield, a condition to wait for, or seconds to sleep."""


def reply(text: str, *, pieces: int = 1, reasoning: str = "", finish: str = "stop") -> list[Step]:
    """Return the events of a whole reply, with its text in `pieces` pieces."""
    size = -(-len(text) // pieces) or 1
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    steps: list[Step] = [PrefillProgressed(done=0, total=20)]
    if reasoning:
        steps.append(ReplyChunk(reasoning=reasoning, tokens=len(reasoning.split())))
    steps += [ReplyChunk(text=part, tokens=number * 4) for number, part in enumerate(parts, 1)]
    steps.append(
        ReplyFinished(
            finish_reason=finish,  # type: ignore[arg-type]
            usage=Usage(prompt_tokens=20, completion_tokens=4 * len(parts)),
            timing=Timing(ttft_s=0.2, prefill_s=0.1, itl_s=0.0125, decode_tokens_per_s=80.0),
        )
    )
    return steps


def calling(*calls: ToolCallPart) -> list[Step]:
    """Return the events of a reply that calls tools."""
    script = reply("Let me see. ", finish="tool_calls")
    return [*script[:-1], ReplyChunk(tool_calls=calls, tokens=9), script[-1]]


def failure(title: str, message: str = "", hint: str = "") -> RequestFailed:
    """Return the end of a failed request."""
    return RequestFailed(kind="internal", title=title, message=message, hint=hint)


@dataclass
class ScriptedEngine:
    """A `Backend`. Each chat takes the next script; without one, the reply is "Yes."."""

    scripts: list[list[Step]] = field(default_factory=list)
    load_script: list[Step] = field(
        default_factory=lambda: [
            LoadProgressed(stage="reading"),
            ModelLoaded(seconds=0.5, context_length=8192),
        ]
    )
    asked: list[tuple[Message, ...]] = field(default_factory=list)
    """The messages of each chat."""
    continued: int = 0
    """How many chats were to continue their last message."""
    begun_thoughts: list[str] = field(default_factory=list)
    """The thoughts that chats were to continue."""
    ephemeral: list[bool | None] = field(default_factory=list)
    """`thinking` of each ephemeral chat."""
    requests: list[tuple[ModelHandle, Sampling, object]] = field(default_factory=list)
    """Model, sampling and grammar of each chat."""
    tools: list[tuple[Tool, ...]] = field(default_factory=list)
    """The tools of each chat."""
    cancelled: int = 0
    """Chats that were left early."""
    closed: bool = False
    side_by_side: bool = False
    """True if several replies to one prompt arrive in parallel."""
    context_length: int | None = 8192
    pool: tuple[LoadedModel, ...] | None = None
    """The loaded models. None: the one model."""
    unloaded: list[ModelHandle] = field(default_factory=list)
    unloaded_idle: bool = False
    """True if models that are not loaded were unloaded because they were idle."""
    read: list[Prefetch] = field(default_factory=list)
    """The prefetches requested."""

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Count one token per word."""
        return tuple(len(text.split()) for text in texts)

    def idle_unloaded(self, model: ModelHandle) -> bool:
        return self.unloaded_idle

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        """Record the prefetch. It continues until it is stopped, or the test ends it."""
        self.read.append(prefetch)

    def loaded(self) -> tuple[LoadedModel, ...]:
        if self.pool is not None:
            return self.pool
        return (
            LoadedModel(
                model=MODEL,
                state="idle",
                context_length=self.context_length,
                load_details='{"threads": 1}',
            ),
        )

    async def unload(self, model: ModelHandle) -> None:
        self.unloaded.append(model)
        self.pool = tuple(each for each in self.loaded() if each.model != model)

    id = "scripted"
    needs_every_core = False

    async def find(self, reference: str) -> ModelHandle | None:
        return MODEL if reference == MODEL.name else None

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        assert isinstance(request, ChatRequest)
        if request.n > 1:
            alone = [
                _while_wanted(self.generate(model, replace(request, n=1)), candidate, request.is_wanted)
                for candidate in range(request.n)
            ]
            async with aclosing(_merged(alone) if self.side_by_side else _chained(alone)) as events:
                async for event in events:
                    yield event
            return
        self.asked.append(tuple(request.messages))
        self.continued += request.continue_reply
        self.begun_thoughts += [request.begun_thought] if request.begun_thought else []
        if request.ephemeral:
            self.ephemeral.append(request.thinking)
        self.tools.append(request.tools)
        self.requests.append((model, request.sampling, request.grammar))
        script = self.scripts.pop(0) if self.scripts else reply("Yes.")
        finished = False
        try:
            async for event in _play(script):
                # The consumer of the last event need not request another.
                finished = isinstance(event, ReplyFinished | RequestFailed)
                yield event
        finally:
            self.cancelled += not finished

    async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
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
    """Yield the events of one of several replies, as the engine does."""
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
        yield ReplyFinished(finish_reason="cancelled", candidate=candidate)


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
