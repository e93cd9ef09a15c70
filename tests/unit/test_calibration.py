"""A calibration is measured once for a machine and engine, and anew for another, or when it is damaged."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from spnl_tui.engine.mistralrs import calibration
from spnl_tui.engine.mistralrs.calibration import Clock, calibration_for, read_calibration
from spnl_tui.engine.mistralrs.processor_share import ProcessorShare
from spnl_tui.errors import RunnerError
from spnl_tui.models.fit import Calibration
from spnl_tui.models.machine import Machine
from tests.support.waiting import wait_until

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


async def test_calibration_is_measured_once(tmp_path: Path, measurements: list[Mapping[str, str]]) -> None:
    file = tmp_path / "new" / "calibration.json"
    first = await calibration_for(MACHINE, file, {"RAYON_NUM_THREADS": "2"})
    assert first == await calibration_for(MACHINE, file, {})
    assert measurements == [{"RAYON_NUM_THREADS": "2"}]
    assert dataclasses.replace(first, made_for="") == MEASURED
    assert [path.name for path in file.parent.iterdir()] == ["calibration.json"]


async def test_another_machine_gets_another_calibration(
    tmp_path: Path, measurements: list[Mapping[str, str]]
) -> None:
    file = tmp_path / "calibration.json"
    await calibration_for(MACHINE, file, {})
    await calibration_for(dataclasses.replace(MACHINE, cores=1), file, {})
    await calibration_for(dataclasses.replace(MACHINE, processor="Another"), file, {})
    assert len(measurements) == 3


def test_constant_costs_are_separated_from_weights() -> None:
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
async def test_damaged_calibration_is_measured_again(
    text: str, tmp_path: Path, measurements: list[Mapping[str, str]]
) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(text)
    assert read_calibration(file) is None
    await calibration_for(MACHINE, file, {})
    assert read_calibration(file) is not None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="pins processes to one processor")
async def test_process_that_waits_for_a_processor_gets_a_smaller_share() -> None:
    processor = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{processor}])\nwhile True: pass"
    processes = [await asyncio.create_subprocess_exec(sys.executable, "-c", code) for _ in range(4)]
    try:
        share = ProcessorShare(processes[0].pid)
        await wait_until(lambda: psutil.Process(processes[0].pid).cpu_times().user > 0.1)
        assert share.so_far() < 0.9
    finally:
        for process in processes:
            process.kill()
            await process.wait()
    assert share.so_far() == 1.0  # it is gone


@pytest.mark.parametrize(("share", "kept"), [(1.0, True), (0.9, True), (0.89, False), (0.2, False)])
async def test_figures_of_a_busy_machine_are_not_kept(
    share: float, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(process: object, tokens: int, count: int, clock: Clock) -> float:
        return tokens * 1e-3 + count * 1e-2

    async def ask(process: object, command: object) -> None:
        return None

    monkeypatch.setattr(calibration, "_complete", run)
    monkeypatch.setattr(calibration, "_ask", ask)
    monkeypatch.setattr(calibration, "_make_model", lambda file, shape, type: file.touch())
    monkeypatch.setattr(ProcessorShare, "so_far", lambda self: share)
    file = tmp_path / "calibration.json"
    if kept:
        await calibration_for(MACHINE, file, {})
    else:
        with pytest.raises(RunnerError, match="too busy"):
            await calibration_for(MACHINE, file, {})
    assert file.exists() == kept
