"""A runner process, whatever program it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
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
