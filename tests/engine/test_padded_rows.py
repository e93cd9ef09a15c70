"""Models with padded rows, loaded for real: they say the same, and the verdict on them is true."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.verdicts import measure
from spnl_tui.engine.load_plan import LoadOverrides, LoadPlan, plan_load
from spnl_tui.engine.service import Engine
from spnl_tui.models.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.padding import find_padding, padded_facts
from spnl_tui.models.request import Grammar, Sampling
from spnl_tui.models.support import missing_config
from spnl_tui.paths import Paths
from tests.support.engines import chat, text_of
from tests.support.gguf_maker import make_gguf, make_sharded_gguf
from tests.support.requantize import requantize
from tests.unit.test_padding import NARROW, QWEN

pytestmark = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="rows are padded on Linux only")


async def reply(path: Path, home: Path, *, padded: bool, grammar: Grammar | None = None) -> str:
    """A greedy reply of floats, which round so little that padding cannot show."""

    async def planner(model: LocalModel) -> LoadPlan:
        facts = read_local_facts(model)
        wish = LoadOverrides(device="cpu", in_situ_quantization="none", pad_rows=False)
        plan = plan_load(facts, read_machine(), wish)
        if not padded:
            return plan
        padding = find_padding(facts)
        assert padding is not None
        return dataclasses.replace(plan, pad_rows=True, config=missing_config(padded_facts(facts, padding)))

    engine = Engine(planner, Paths.below(home))
    sampling = Sampling(temperature=0, max_tokens=64, frequency_penalty=1.0)
    try:
        model = resolve_local(path)
        events = await chat(
            engine,
            model,
            "Write a story about a lighthouse and its keeper.",
            sampling=sampling,
            grammar=grammar,
        )
        return text_of(events)
    finally:
        await engine.close()


async def test_the_real_model_says_the_same(starter_gguf: Path, tmp_path: Path) -> None:
    path = requantize(starter_gguf, tmp_path / "m.gguf", "F16")
    said = await reply(path, tmp_path, padded=False)
    assert len(said) > 150
    assert await reply(path, tmp_path, padded=True) == said


@pytest.mark.parametrize("shape", [NARROW, QWEN], ids=["llama", "qwen2"])
async def test_made_models_say_the_same(shape: dict[str, Any], tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "m.gguf", matrix="F32", embedding="F32", **{**shape, "output": "F32"})
    letters = Grammar("regex", "[a-z]{40}")  # what models of noise say by themselves may be nothing
    said = await reply(path, tmp_path, padded=False, grammar=letters)
    assert len(set(said)) > 8
    assert await reply(path, tmp_path, padded=True, grammar=letters) == said


async def test_shards_with_padded_rows_load(tmp_path: Path) -> None:
    make_sharded_gguf(tmp_path, "m", 3, **NARROW)
    model = resolve_local(tmp_path)
    plan = plan_load(read_local_facts(model), dataclasses.replace(read_machine(), vnni=True, avx2=True))
    assert plan.pad_rows
    assert (await measure(model, plan)).error is None
