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
    """The progress of a pull. Bytes include all its files, also those that were here before."""

    stage: Stage
    done: int
    total: int | None
    """None until the hub reports it."""
    bytes_per_s: float | None = None
    """Smoothed over some seconds; None while nothing comes."""
    eta_s: float | None = None
    """Seconds until all is here, at that speed."""
    detail: str = ""
    """Why it waits or has stalled."""
    retry_in_s: float | None = None
    """Seconds until the next try, while stalled."""

    @property
    def words(self) -> str:
        """The state in words: "stalled (no bytes for 6 s) – retrying in 4 s"."""
        words = f"{self.stage} ({self.detail})" if self.detail else self.stage
        if self.retry_in_s is not None:
            words += f" – retrying in {max(1, math.ceil(self.retry_in_s))} s"
        return words


@dataclass(frozen=True, slots=True, kw_only=True)
class PullNoted:
    """A note for the user that needs no action, such as why a file started over."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFinished:
    """All files are complete, verified and installed. `files` are in the order of the request."""

    repo: str
    commit: str
    snapshot: Path
    files: tuple[Path, ...]
    fetched: int
    """Bytes that came over the network; 0 if everything was here already."""


PullEvent: TypeAlias = PullProgressed | PullNoted | PullFinished


class Speedometer:
    """Bytes per second over a sliding window, so that bursts and pauses do not make it jump."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """Record that `count` bytes in total had arrived at this time (seconds of any clock)."""
        self._samples.append((now, count))
        # One sample older than the window stays, so that the window is always covered.
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window_s:
            self._samples.popleft()

    @property
    def bytes_per_s(self) -> float | None:
        """None until bytes have arrived for a while."""
        if len(self._samples) < 2:
            return None
        (begun, before), (now, count) = self._samples[0], self._samples[-1]
        if now - begun < 0.5 or count <= before:
            return None
        return (count - before) / (now - begun)
