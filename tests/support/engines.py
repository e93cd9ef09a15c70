"""Engines for tests: over the fake runner, and over the real one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from spnl_tui.engine.backend import Backend, ChatRequest, CompletionRequest, Event, ModelHandle, ReplyChunk
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.memory import MemoryEstimate
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths

FAKE_RUNNER = (sys.executable, "-m", "tests.support.fake_runner")
GREEDY = Sampling(temperature=0)


def fake_model(kind: str = "good") -> ModelHandle:
    """Return a model for the fake runner; see there for the kinds."""
    return to_handle(fake_local(kind))


def fake_local(kind: str = "good") -> LocalModel:
    """Return the same as the library would."""
    return LocalModel(f"fake/{kind}", "gguf", Path("/models", kind), ("model.gguf",))


def fake_plan(memory: int = 0, **options: Any) -> LoadPlan:
    """Return a plan for the fake runner with this memory (bytes)."""
    return LoadPlan(
        **{
            "device": "cpu",
            "dtype": "auto",
            "threads": 1,
            "in_situ_quantization": None,
            "prefix_cache": 16,
            "paged_attention": False,
            "max_sequences": 1,
            "context": 4096,
            "memory": MemoryEstimate(memory or 10**9, 0, 0, memory or 1),
            **options,
        }
    )


@asynccontextmanager
async def fake_engine(
    paths: Paths, plan: Callable[[LocalModel], LoadPlan] | None = None, **options: Any
) -> AsyncIterator[MistralRsBackend]:
    """Return an engine whose runners are real processes without a real model."""

    async def planner(model: LocalModel, context: int | None = None) -> LoadPlan:
        # In a thread, because the real planner reads the file.
        planned = await asyncio.to_thread(plan, model) if plan else fake_plan()
        return planned if context is None else replace(planned, context=context, context_limit=context)

    engine = MistralRsBackend(planner, paths, runner_command=FAKE_RUNNER, **options)
    try:
        yield engine
    finally:
        await engine.close()


def ask(
    engine: Backend, model: ModelHandle, messages: Sequence[Message], sampling: Sampling, **options: Any
) -> AsyncGenerator[Event, None]:
    """Return the events of one chat request; the options are those of ChatRequest."""
    return engine.generate(model, ChatRequest(messages=messages, sampling=sampling, **options))


def complete(
    engine: Backend, model: ModelHandle, inputs: Sequence[str], sampling: Sampling
) -> AsyncGenerator[Event, None]:
    """Return the events of one completion request."""
    return engine.generate(model, CompletionRequest(inputs=inputs, sampling=sampling))


async def chat(engine: Backend, model: ModelHandle, prompt: str, **options: Any) -> list[Event]:
    """Return all events of one prompt."""
    sampling = options.pop("sampling", Sampling(temperature=0))
    async with aclosing(ask(engine, model, [Message("user", prompt)], sampling, **options)) as events:
        return [event async for event in events]


def text_of(events: list[Event], candidate: int = 0) -> str:
    """Return the reply's text."""
    return "".join(e.text for e in events if isinstance(e, ReplyChunk) and e.candidate == candidate)


def kinds(events: list[Event]) -> list[str]:
    """Return the events' names, repetitions joined."""
    names = [type(event).__name__ for event in events]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
