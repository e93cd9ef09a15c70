"""Half a minute of random requests and faults. `python -m benchmarks.soak` runs for five minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.soak import make_models, soak
from spnl_tui.paths import Paths

SEED = 5

pytestmark = pytest.mark.alone


async def test_every_request_ends_and_no_process_remains(tmp_path: Path, paths: Paths) -> None:
    report = await soak(make_models(tmp_path), paths, seconds=9, seed=SEED, conversations=8)
    print(report)
    assert report.problems == [], f"python -m benchmarks.soak --seed {SEED} --conversations 8"
    # It did something.
    assert report.kills + report.unloads >= 3
    assert report.outcomes["replied: length"] >= 5
