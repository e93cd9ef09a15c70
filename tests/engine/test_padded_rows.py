"""Real models with padded rows compute the same, and their verdicts are right."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.verdicts import measure
from spnl_tui.engine.mistralrs.load_plan import plan_load, runner_environment
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.files.gguf_noise import write_gguf
from spnl_tui.models.files.local import read_local_facts, resolve_local
from spnl_tui.models.machine import Machine, read_machine
from spnl_tui.models.memory import memory_on
from spnl_tui.models.padding import find_padding, padded_facts
from spnl_tui.models.support import missing_config
from tests.support.gguf_maker import GgufSpec, make_gguf, make_sharded_gguf, metadata_of, tensors_of
from tests.support.logprobs import ask_for_logprobs
from tests.support.shapes import GEMMA, NARROW, QWEN

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(sys.platform != "linux", reason="rows are padded on Linux only: nothing to test"),
]


async def logprobs(path: Path, *, padded: bool) -> list[float]:
    """Of the tokens of a greedy reply, by floats as stored: those round so little that errors show."""
    facts = read_file_facts(path)
    if padded:
        padding = find_padding(facts)
        assert padding is not None
        facts = padded_facts(facts, padding)
    config = missing_config(facts)
    load = {
        "format": "gguf",
        "directory": str(path.parent),
        "files": [path.name],
        "pad_rows": padded,
        "config": None if config is None else json.dumps(config),
    }
    return await ask_for_logprobs(load)


async def test_padded_real_model_computes_the_same(requantized: Callable[[str], Path]) -> None:
    path = requantized("F32")
    plain, padded = [await logprobs(path, padded=padded) for padded in (False, True)]
    assert len(plain) > 4
    assert padded == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize(
    "shape",
    [NARROW, QWEN, {**QWEN, "output": None}, GEMMA, {**NARROW, "head_width": 128, "name": "Mistral 7B"}],
    ids=["llama", "qwen2", "tied", "gemma3", "mistral"],
)
async def test_padded_synthetic_models_compute_the_same(shape: dict[str, Any], tmp_path: Path) -> None:
    floats = {"matrix": "F32", "embedding": "F32", "output": "F32" if shape.get("output") else None}
    path = make_gguf(tmp_path / "m.gguf", **{**shape, **floats})
    plain, padded = [await logprobs(path, padded=padded) for padded in (False, True)]
    assert len(plain) > 0
    assert padded == pytest.approx(plain, abs=1e-4)


async def test_padded_norms_of_small_numbers_compute_the_same(tmp_path: Path) -> None:
    """As in the real Gemma 3 270M: what its norms behind see is so small that epsilon counts."""
    spec = GgufSpec(
        **GEMMA, matrix="F32", embedding="F32", metadata={"gemma3.attention.layer_norm_rms_epsilon": 0.01}
    )
    behind = ("post_attention_norm.weight", "post_ffw_norm.weight")
    tensors = [
        dataclasses.replace(tensor, fill=3.0) if tensor.name.endswith(behind) else tensor
        for tensor in tensors_of(spec)
    ]
    path = tmp_path / "m.gguf"
    write_gguf(path, metadata_of(spec), tensors, 0)
    plain, padded = [await logprobs(path, padded=padded) for padded in (False, True)]
    assert min(plain) < -1  # the embedding alone would foretell every token
    assert padded == pytest.approx(plain, abs=1e-4)


async def test_padded_shards_load(tmp_path: Path) -> None:
    make_sharded_gguf(tmp_path, "m", 3, **NARROW)
    model = resolve_local(tmp_path)
    plan = plan_load(read_local_facts(model), pads(read_machine()))
    assert plan.pad_rows
    assert (await measure(model, plan)).error is None


async def test_padded_model_takes_the_predicted_memory(requantized: Callable[[str], Path]) -> None:
    path = requantized("Q8_0")
    model = resolve_local(path)
    plan = plan_load(read_local_facts(model), pads(read_machine()))
    assert plan.pad_rows
    facts = read_local_facts(model)
    padding = find_padding(facts)
    assert padding is not None
    padded = padded_facts(facts, padding)
    memory = memory_on(read_machine(), padded, plan.in_situ_quantization, 512)
    measured = await measure(model, plan)
    assert measured.error is None
    assert measured.loaded_bytes == pytest.approx(memory.weights + memory.overhead, rel=0.15)


LOAD = """
import json, sys
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.runner.pipeline import make_pipeline
load = json.loads(sys.argv[1])
pipeline = make_pipeline(wire.Load(id=1, **{**load, "files": tuple(load["files"])}))
with open("/proc/self/status") as status:
    shared = next(int(line.split()[1]) for line in status if line.startswith("RssShmem"))
print("shared", shared, file=sys.stderr)
"""


@pytest.mark.parametrize("in_situ", [None, "Q8_0"])
async def test_padded_copy_is_freed_after_the_load(in_situ: str | None, tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "m.gguf", width=576, feed_forward=1536, heads=9, kv_heads=3)
    load = {
        "format": "gguf",
        "directory": str(tmp_path),
        "files": [path.name],
        "pad_rows": True,
        "in_situ_quantization": in_situ,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOAD, json.dumps(load)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **runner_environment(2)},
    )
    _, said = await process.communicate()
    assert process.returncode == 0
    assert b"shared 0\n" in said


def pads(machine: Machine) -> Machine:
    """The same machine, where rows are padded."""
    return dataclasses.replace(machine, vnni=True, avx2=True)
