"""Engines for tests: over the fake runner, and over the real one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.backend import Engine
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.models.local import LocalModel
from spnl_tui.models.memory import MemoryEstimate
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths

FAKE_RUNNER = (sys.executable, "-m", "tests.support.fake_runner")
GREEDY = Sampling(temperature=0)


def fake_model(kind: str = "good") -> LocalModel:
    """A model for the fake runner; see there for the kinds."""
    return LocalModel(f"fake/{kind}", "gguf", Path("/models", kind), ("model.gguf",))


def fake_plan(memory: int = 0, **options: Any) -> LoadPlan:
    """A plan for the fake runner, which takes this much memory (bytes)."""
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
) -> AsyncIterator[Engine]:
    """An engine whose runners are real processes without a real model."""

    async def planner(model: LocalModel) -> LoadPlan:
        # In a thread, as the real one reads the file.
        return await asyncio.to_thread(plan, model) if plan else fake_plan()

    engine = Engine(planner, paths, runner_command=FAKE_RUNNER, **options)
    try:
        yield engine
    finally:
        await engine.close()


async def chat(engine: Engine, model: LocalModel, prompt: str, **options: Any) -> list[wire.Event]:
    """All events of one prompt."""
    sampling = options.pop("sampling", Sampling(temperature=0))
    events = engine.generate_chat(model, [Message("user", prompt)], sampling, **options)
    async with aclosing(events):
        return [event async for event in events]


def text_of(events: list[wire.Event], candidate: int = 0) -> str:
    """The reply's text."""
    return "".join(e.text for e in events if isinstance(e, wire.ReplyChunk) and e.candidate == candidate)


def kinds(events: list[wire.Event]) -> list[str]:
    """The events' names, repeats joined."""
    names = [type(event).__name__ for event in events]
    return [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
