"""A runner process, whatever program it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.engine.mistralrs.wire import RunnerEnded
from tests.support.waiting import wait_until

WRITES_AND_WAITS = """
import os, tempfile, time
from spnl_tui.engine.mistralrs.wire import temporary_prefix
with tempfile.TemporaryDirectory(prefix=temporary_prefix(os.getpid())) as name:
    open(os.path.join(name, "file"), "w").close()
    time.sleep(60)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process makes its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


async def test_temporary_files_of_a_runner_are_removed_with_it(temporary: Path) -> None:
    """Loading is ended in the middle, where it cannot clear up after itself."""
    process = await RunnerProcess.spawn(command=(sys.executable, "-c", WRITES_AND_WAITS))
    await wait_until(lambda: any(temporary.glob("*/*")))
    await process.end()
    assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            ["memory allocation of 40108032 bytes failed", "note: run with `RUST_BACKTRACE=1` environment …"],
            "it could not get 40.1 MB more memory",
        ),
        (
            ["thread panicked", "note: run with `RUST_BACKTRACE=full` …"],
            "it crashed (SIGABRT): thread panicked",
        ),
    ],
)
async def test_crash_names_its_cause_and_no_advice_for_developers(lines: list[str], reason: str) -> None:
    script = f"import os, sys; print(*{lines!r}, sep=chr(10), file=sys.stderr, flush=True); os.abort()"
    process = await RunnerProcess.spawn(command=(sys.executable, "-c", script))
    events = process.subscribe(1)
    ended = await events.get()
    assert isinstance(ended, RunnerEnded)
    assert ended.reason == reason
    await process.end()
