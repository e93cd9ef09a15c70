"""What a plan for a graphics processor asks of mistral.rs, which here has none: it must go on without."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import mistralrs
import pytest

from spnl_tui.engine.backend import ReplyFinished
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.engine.mistralrs.load_plan import LoadPlan, plan_load
from spnl_tui.engine.mistralrs.runner.pipeline import make_pipeline
from spnl_tui.models.files.local import LocalModel, read_local_facts
from spnl_tui.models.machine import read_machine
from spnl_tui.paths import Paths
from tests.support.engines import chat
from tests.support.gguf_maker import make_gguf

pytestmark = pytest.mark.alone


def test_paged_attention_gets_the_planned_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(mistralrs, "Runner", lambda **arguments: asked.append(arguments))
    load = wire.Load(id=1, format="safetensors", directory=str(tmp_path), paged_attention=True)
    make_pipeline(dataclasses.replace(load, paged_tokens=8192))
    make_pipeline(dataclasses.replace(load, paged_attention=False))
    assert (asked[0]["memory_goal"], asked[0]["no_paged_attn"]) == ("8192tokens", False)
    assert (asked[1].get("memory_goal"), asked[1]["no_paged_attn"]) == (None, True)


async def test_model_that_cannot_be_paged_loads_anyway(paths: Paths, tmp_path: Path) -> None:
    """On a CPU none can, and mistral.rs refuses in the same words."""
    file = make_gguf(tmp_path / "m.gguf")

    async def planner(model: LocalModel, context: int | None = None) -> LoadPlan:
        plan = await asyncio.to_thread(lambda: plan_load(read_local_facts(model), read_machine()))
        return dataclasses.replace(plan, paged_attention=True, paged_tokens=4096)

    engine = MistralRsBackend(planner, paths)
    try:
        events = await chat(engine, to_handle(LocalModel("m", "gguf", file.parent, (file.name,))), "Hello")
        assert isinstance(events[-1], ReplyFinished), events[-1]
    finally:
        await engine.close()
