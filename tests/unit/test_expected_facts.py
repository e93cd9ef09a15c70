"""Facts expected from a sibling's header, set against the header itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.models.expected_facts import expected_facts
from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.fit import assess
from spnl_tui.models.machine import read_machine
from spnl_tui.models.memory import estimate_memory
from spnl_tui.models.quantization import ModelFile, Quantization
from tests.support.gguf_maker import make_gguf, type_shares

# Label, and what the maker must be told to make what llama.cpp would.
MIXES: dict[str, dict[str, Any]] = {
    "Q8_0": {"matrix": "Q8_0", "embedding": "Q8_0", "output": "Q8_0"},
    "Q4_K_M": {"matrix": "Q4_K", "down": "Q6_K", "embedding": "Q4_K", "output": "Q6_K"},
    "Q4_K_S": {"matrix": "Q4_K", "embedding": "Q4_K", "output": "Q6_K"},
    "Q5_K_M": {"matrix": "Q5_K", "down": "Q6_K", "embedding": "Q5_K", "output": "Q6_K"},
    "Q6_K": {"matrix": "Q6_K", "embedding": "Q6_K", "output": "Q6_K"},
    "Q4_0": {"matrix": "Q4_0", "embedding": "Q4_0", "output": "Q6_K"},
    "F16": {"matrix": "F16", "embedding": "F16", "output": "F16"},
}


def made(folder: Path, label: str) -> tuple[ModelFacts, Quantization]:
    path = folder / f"m-{label}.gguf"
    if not path.exists():
        make_gguf(path, layers=4, width=512, feed_forward=1536, vocabulary=2048, **MIXES[label])
    file = ModelFile(path.name, path.stat().st_size)
    return read_file_facts(path), Quantization(label, (file,), label)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.mark.parametrize("known", ["Q8_0", "Q4_K_M", "F16"])
@pytest.mark.parametrize("label", list(MIXES))
def test_expected_and_true_facts_lead_to_the_same_verdict(folder: Path, known: str, label: str) -> None:
    truth, quantization = made(folder, label)
    expected = expected_facts(made(folder, known)[0], quantization)
    assert expected is not None
    assert (expected.parameters, expected.file_bytes) == (truth.parameters, truth.file_bytes)
    assert sum(g.elements for g in expected.tensors) == pytest.approx(
        sum(g.elements for g in truth.tensors), rel=0.001
    )
    assert expected.bits_per_weight == pytest.approx(truth.bits_per_weight, rel=0.01)
    assert set(type_shares(expected)) == set(type_shares(truth))
    for type, share in type_shares(truth).items():
        assert type_shares(expected)[type] == pytest.approx(share, abs=0.03)
    memory, true_memory = (estimate_memory(facts, None, 2048).total for facts in (expected, truth))
    assert memory == pytest.approx(true_memory, rel=0.03)
    machine = read_machine()
    assert assess(expected, machine, 2048).level == assess(truth, machine, 2048).level
    assert assess(expected, machine, 2048).in_situ == assess(truth, machine, 2048).in_situ


def test_unsupported_models_are_expected_not_to_run(folder: Path) -> None:
    known, _ = made(folder, "Q8_0")
    for label in ("IQ4_XS", "IQ2_M", "IQ1_S", "UD-IQ3_XXS", "TQ1_0", "IQ3_M"):
        expected = expected_facts(known, Quantization(label, (ModelFile("x", 10**6),), label))
        assert expected is not None
        assert assess(expected, read_machine(), 2048).runs.level == "no", label


def test_narrow_rows_fall_back_as_in_llama_cpp(starter_gguf: Path) -> None:
    known = read_file_facts(starter_gguf)
    expected = expected_facts(known, Quantization("Q4_K_M", (ModelFile("x", None),), "Q4_K_M"))
    assert expected is not None
    types = {group.type for group in expected.tensors if group.role == "matrix" and group.row == 576}
    assert types == {"Q5_0"}


@pytest.mark.parametrize("label", ["", "weights", "Q4"])
def test_labels_without_a_known_type_give_no_facts(folder: Path, label: str) -> None:
    assert expected_facts(made(folder, "Q8_0")[0], Quantization("x", (ModelFile("x", 1),), label)) is None


def test_experts_trained_in_mxfp4_keep_their_type_in_every_quantization(tmp_path: Path) -> None:
    known = read_file_facts(make_gguf(tmp_path / "m.gguf", experts=4))
    groups = tuple(replace(g, type="MXFP4") if g.role == "experts" else g for g in known.tensors)
    known = replace(known, architecture="gpt-oss", tensors=groups)
    for label in ("Q4_0", "Q2_K", "IQ4_NL", "Q8_0"):
        expected = expected_facts(known, Quantization(label, (ModelFile("m.gguf", known.file_bytes),), label))
        assert expected is not None
        assert {g.type for g in expected.tensors if g.role == "experts"} == {"MXFP4"}
