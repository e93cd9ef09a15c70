"""The events of a pull."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Stage = Literal["waiting", "connecting", "pulling", "stalled", "verifying", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgressed:
    """The progress of a pull. Bytes count all its files, including those that were already complete."""

    stage: Stage
    done: int
    total: int | None
    """The total in bytes; None until the hub reports it."""
    bytes_per_s: float | None = None
    """The speed averaged over some seconds; None while no data arrives."""
    eta_s: float | None = None
    """Seconds until completion at the current speed."""
    detail: str = ""
    """The reason why the pull waits or has stalled."""
    retry_in_s: float | None = None
    """Seconds until the next try while stalled."""

    @property
    def words(self) -> str:
        """The state for the user, such as "stalled (no bytes for 6 s) – retrying in 4 s"."""
        words = f"{self.stage} ({self.detail})" if self.detail else self.stage
        if self.retry_in_s is not None:
            words += f" – retrying in {max(1, math.ceil(self.retry_in_s))} s"
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class PullNoted:
    """A note for the user that requires no action, such as why a file starts over."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFinished:
    """All files are complete, verified and installed. `files` are in the order of the request."""

    repo: str
    commit: str
    snapshot: Path
    files: tuple[Path, ...]
    fetched: int
    """Bytes received over the network; 0 if all files were already complete."""


PullEvent: TypeAlias = PullProgressed | PullNoted | PullFinished


class Speedometer:
    """Measures bytes per second over a sliding window, so that bursts and pauses are smoothed."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """Record that `count` bytes in total have arrived at time `now`, in seconds of any clock."""
        self._samples.append((now, count))
        # Keep one sample from before the window, so that the whole window is covered.
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window_s:
            self._samples.popleft()

    @property
    def bytes_per_s(self) -> float | None:
        """The speed; None until data has arrived for a while."""
        if len(self._samples) < 2:
            return None
        (begun, before), (now, count) = self._samples[0], self._samples[-1]
        if now - begun < 0.5 or count <= before:
            return None
        return (count - before) / (now - begun)
