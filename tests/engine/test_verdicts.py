"""Verdicts on models compared with real loads by mistral.rs, each in a runner of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.verdicts import Measured, measure
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, plan_load
from spnl_tui.models.files.local import read_local_facts, resolve_local
from spnl_tui.models.fit import assess
from spnl_tui.models.machine import read_machine
from tests.support.gguf_maker import ARCHITECTURES, SPARSE, make_gguf, make_sharded_gguf

pytestmark = pytest.mark.alone

# Large enough that the program itself does not dominate the measurement.
SHAPE: dict[str, Any] = {"layers": 4, "width": 1024, "feed_forward": 4096, "heads": 8, "vocabulary": 8192}


async def load(path: Path, **overrides: Any) -> Measured:
    """Load and run the model at this path by its plan."""
    model = resolve_local(path)
    plan = plan_load(read_local_facts(model), read_machine(), LoadOverrides(context=512, **overrides))
    return await measure(model, plan)


def predicted(path: Path, in_situ: str | None = "auto") -> float:
    memory = assess(read_local_facts(resolve_local(path)), read_machine(), 512, in_situ=in_situ).memory
    return memory.weights + memory.overhead


@pytest.mark.parametrize("architecture", ARCHITECTURES)
async def test_supported_gguf_architecture_streams(architecture: str, tmp_path: Path) -> None:
    experts = 4 if architecture in SPARSE else 0
    path = make_gguf(tmp_path / "m.gguf", architecture=architecture, experts=experts)
    assert assess(read_local_facts(resolve_local(path)), read_machine(), 512).runs.level == "yes"
    measured = await load(path)
    assert measured.error is None
    assert measured.tokens > 0


@pytest.mark.parametrize(
    "changes",
    [
        {"matrix": "IQ4_XS"},
        {"matrix": "IQ4_NL"},
        {"matrix": "MXFP4"},
        {"matrix": "TQ1_0"},
        {"tokenizer": "bert"},
        {"pre_tokenizer": "viking"},
        {"metadata": {"general.architecture": "mamba"}},
        {"metadata": {"llama.context_length": None}},
        {"metadata": {"tokenizer.ggml.model": None}},
    ],
    ids=str,
)
async def test_model_with_verdict_no_does_not_load(changes: dict[str, Any], tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "m.gguf", **changes)
    assert assess(read_local_facts(resolve_local(path)), read_machine(), 512).runs.level == "no"
    assert (await load(path)).error


@pytest.mark.parametrize("name", ["Mistral-7B-Instruct-v0.3", "models--mistralai--Mistral"])
async def test_mistral_stored_as_llama_loads(name: str, tmp_path: Path) -> None:
    assert (await load(make_gguf(tmp_path / "m.gguf", name=name, head_width=96))).error is None


async def test_base_model_completes_text(tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "m.gguf", template=None)
    assert assess(read_local_facts(resolve_local(path)), read_machine(), 512).completion_only
    assert (await load(path)).error is None


async def test_shards(tmp_path: Path) -> None:
    make_sharded_gguf(tmp_path, "m", 3)
    assert (await load(tmp_path)).error is None


@pytest.mark.parametrize("matrix", ["Q4_K", "Q8_0", "Q4_1", "F16"])
async def test_memory_is_near_the_predicted(matrix: str, tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "m.gguf", matrix=matrix, **SHAPE)
    measured = await load(path)
    assert measured.error is None
    assert measured.loaded_bytes == pytest.approx(predicted(path), rel=0.15)


async def test_the_starter(starter_gguf: Path) -> None:
    measured = await load(starter_gguf)
    assert measured.error is None
    assert measured.loaded_bytes == pytest.approx(predicted(starter_gguf), rel=0.25)
