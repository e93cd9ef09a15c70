"""An engine without a model: replays events, and waits where the test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spnl_tui.engine.protocol import (
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
from spnl_tui.engine.service import LoadedModel
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
    requests: list[tuple[LocalModel, Sampling, object]] = field(default_factory=list)
    """Model, sampling and grammar of each chat."""
    cancelled: int = 0
    """Chats that were left before their end."""
    closed: bool = False
    context_length: int | None = 8192
    pool: tuple[LoadedModel, ...] | None = None
    """What is loaded: if None, the one model."""
    unloaded: list[LocalModel] = field(default_factory=list)

    async def count_tokens(self, model: LocalModel, texts: Sequence[str]) -> tuple[int, ...] | None:
        """A token for each word."""
        return tuple(len(text.split()) for text in texts)

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
    ) -> AsyncIterator[Event]:
        self.asked.append(tuple(messages))
        self.went_on += go_on
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

    async def load(self, model: LocalModel) -> AsyncIterator[Event]:
        async for event in _play(self.load_script):
            yield event

    async def close(self) -> None:
        self.closed = True


async def _play(script: Sequence[Step]) -> AsyncIterator[Event]:
    for step in script:
        if isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, float):
            await asyncio.sleep(step)
        else:
            yield step
