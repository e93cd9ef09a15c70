"""Measures what share of its possible processor time a process gets beside other programs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil


class _Times(NamedTuple):
    """Processor times in seconds since the process or the system started."""

    run: float
    waited: float


class ProcessorShare:
    """Measures the processor share of a process from its creation on."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._times()

    def so_far(self) -> float:
        """Return the share, from 0 to 1; 1 if the process has not computed or has ended."""
        now = self._times()
        run, waited = now.run - self._before.run, now.waited - self._before.waited
        return run / (run + waited) if run > 0 and run + waited > 0 else 1.0

    def _times(self) -> _Times:
        try:
            return _of_threads(self._pid) or _of_system(self._pid)
        except (OSError, psutil.Error):
            return _Times(0.0, 0.0)


def _of_threads(pid: int) -> _Times | None:
    """Return the times that the process's threads ran and waited for a processor; None without such
    statistics.

    Linux: Documentation/scheduler/sched-stats.
    """
    run = waited = 0
    found = False
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        ran_ns, waited_ns, _ = map(int, file.read_text("ascii").split())
        run, waited, found = run + ran_ns, waited + waited_ns, True
    return _Times(run / 1e9, waited / 1e9) if found else None


def _of_system(pid: int) -> _Times:
    """Estimate the waiting time as the time that all other processes used."""
    own = psutil.Process(pid).cpu_times()
    used = psutil.cpu_times()
    run = own.user + own.system
    return _Times(run, max(0.0, used.user + used.system - run))
