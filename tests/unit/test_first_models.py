"""Good first models for a machine."""

from __future__ import annotations

import pytest

from spnl_tui.models.first_models import SHAPES, Shape, facts_of, first_models
from spnl_tui.models.fit import Calibration
from spnl_tui.models.machine import Machine
from spnl_tui.models.reference import ModelReference


def machine(gigabytes: float) -> Machine:
    total = int(gigabytes * 10**9)
    return Machine(cores=4, fast_cores=4, memory_total=2 * total, memory_available=total)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_shape_accounts_for_the_size_of_its_file(shape: Shape) -> None:
    tensors = sum(group.bytes for group in facts_of(shape).tensors)
    assert 0.9 < tensors / shape.size_bytes < 1.02
    assert ModelReference.parse(shape.name).repository


@pytest.mark.parametrize(
    ("gigabytes", "names"),
    [
        (1, []),
        (3, ["gemma3:1b"]),
        (14, ["gemma3:1b", "gemma3:4b", "qwen3:4b"]),
        (40, ["gemma3:1b", "gemma3:4b", "qwen3:4b", "qwen3:14b"]),
    ],
)
def test_models_that_fit_are_offered_from_small_to_large(gigabytes: float, names: list[str]) -> None:
    assert [model.shape.name for model in first_models(machine(gigabytes), 8192)] == names


def test_measured_speed_decides_what_is_fast() -> None:
    slow = Calibration(decode={"Q8_0": 5e-11}, prefill={"Q8_0": 1e-12})
    found = first_models(machine(40), 8192, slow)
    fast = next((model for model in found if model.why == "fast"), None)
    balanced = next(model for model in found if model.why in ("balanced", "fast"))
    assert all(model.tokens_per_s for model in found)
    assert fast is None or (fast.tokens_per_s or 0) >= (balanced.tokens_per_s or 0)
