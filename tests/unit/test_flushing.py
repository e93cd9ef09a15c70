"""Writing out while more comes: what the disk refuses is told, however late it tells."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from spnl_tui.hub.pulls import flushing
from spnl_tui.hub.pulls.flushing import Flusher


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "_AT_ONCE", 100)


@pytest.mark.parametrize("ended", [True, False])
def test_error_raised_in_a_thread_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    """The system tells it once: fsync at the end succeeds."""
    calls: list[int] = []
    called = threading.Event()

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        called.set()
        if len(calls) == 1:
            raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(os, "fsync", fsync)
    with open(tmp_path / "part", "wb", buffering=0) as file:
        flusher = Flusher(file)

        def go_on() -> None:
            while not ended:  # as soon as the thread has ended
                flusher.wrote(100)
            flusher.finish()

        flusher.wrote(99)
        assert not calls
        flusher.wrote(1)
        assert called.wait(20)
        with pytest.raises(OSError, match="broken"):
            go_on()
    assert len(calls) == 1


def test_all_is_written_out_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_size))
    with open(tmp_path / "part", "wb", buffering=0) as file:
        flusher = Flusher(file)
        for _ in range(25):
            flusher.wrote(file.write(b"x" * 10))
        flusher.finish()
    assert flushed[-1] == 250
    assert len(flushed) >= 2
