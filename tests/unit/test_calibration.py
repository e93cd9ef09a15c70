"""A calibration is measured once for a machine and engine, and anew for another, or when it is damaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from spnl_tui.engine.mistralrs import calibration
from spnl_tui.engine.mistralrs.calibration import Clock, calibration_for, read_calibration
from spnl_tui.models.fit import Calibration
from spnl_tui.models.machine import Machine

MACHINE = Machine(cores=2, fast_cores=2, memory_total=1, memory_available=1, processor="A processor")
MEASURED = Calibration(decode={"Q8_0": 5e-11}, prefill={"Q8_0": 8e-12}, layer=2e-5, attention=1e-11)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """The environments that were measured in."""
    seen: list[Mapping[str, str]] = []

    async def measure(environment: Mapping[str, str], clock: Clock) -> Calibration:
        seen.append(environment)
        return MEASURED

    monkeypatch.setattr(calibration, "_measure", measure)
    return seen


async def test_it_is_measured_once(tmp_path: Path, measurements: list[Mapping[str, str]]) -> None:
    file = tmp_path / "new" / "calibration.json"
    first = await calibration_for(MACHINE, file, {"RAYON_NUM_THREADS": "2"})
    assert first == await calibration_for(MACHINE, file, {})
    assert measurements == [{"RAYON_NUM_THREADS": "2"}]
    assert dataclasses.replace(first, made_for="") == MEASURED
    assert [path.name for path in file.parent.iterdir()] == ["calibration.json"]


async def test_another_machine_asks_for_another(
    tmp_path: Path, measurements: list[Mapping[str, str]]
) -> None:
    file = tmp_path / "calibration.json"
    await calibration_for(MACHINE, file, {})
    await calibration_for(dataclasses.replace(MACHINE, cores=1), file, {})
    await calibration_for(dataclasses.replace(MACHINE, processor="Another"), file, {})
    assert len(measurements) == 3


def test_what_depends_on_no_weight_is_told_apart() -> None:
    token, layer, weight = 5e-4, 2e-4, 1e-10
    shapes = (calibration._FLAT, calibration._WIDE, calibration._DEEP)
    measured = [token + shape.layers * layer + shape.weights * weight for shape in shapes]
    assert calibration._constants(*measured) == pytest.approx((token, layer))
    assert calibration._constants(3e-3, 2e-3, 1e-3) >= (0.0, 0.0)  # noise makes nothing negative


DAMAGED = [
    "",
    "{",
    "[]",
    "{}",
    '{"decode": {}, "prefill": {}}',
    '{"decode": 3, "prefill": 4}',
    '{"surprise": 1}',
    '{"decode": {"Q8_0": 0}, "prefill": {"Q8_0": 1}, "token": 0}',
    '{"decode": {"Q8_0": 1}, "prefill": {"Q8_0": 1}}',
]


@pytest.mark.parametrize("text", DAMAGED)
async def test_a_damaged_file(text: str, tmp_path: Path, measurements: list[Mapping[str, str]]) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(text)
    assert read_calibration(file) is None
    await calibration_for(MACHINE, file, {})
    assert read_calibration(file) is not None
