"""Damaged models through a real runner. `python -m benchmarks.fuzz_runner` tries a thousand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fuzz_runner import fuzz

pytestmark = pytest.mark.alone


async def test_damaged_model_gives_a_clear_error_or_loads(tmp_path: Path) -> None:
    report = await fuzz(tmp_path, count=24, seed=3)
    assert report.problems == []
    assert len(report.outcomes) > 1
    assert report.outcomes.total() == 24
