"""How a pull tells how it is doing."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Stage = Literal["waiting", "connecting", "pulling", "stalled", "verifying", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgressed:
    """How far a pull is. Bytes count over all its files, those that were here before included."""

    stage: Stage
    done: int
    total: int | None
    """None until the hub has told."""
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
    """Something that the user should know, but need not act on: a file had to be started over, and why."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullFinished:
    """All files are whole, proven and in their place. `files` are in the order of the request."""

    repo: str
    commit: str
    snapshot: Path
    files: tuple[Path, ...]
    fetched: int
    """Bytes that came over the network; 0 if everything was here already."""


PullEvent: TypeAlias = PullProgressed | PullNoted | PullFinished


class Speedometer:
    """Bytes a second over a sliding window, so that neither a burst nor a pause makes it jump."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, now: float, count: int) -> None:
        """By this time (seconds of any clock), `count` bytes had come in all."""
        self._samples.append((now, count))
        # One sample older than the window stays, so that the window is always covered.
        while len(self._samples) > 2 and self._samples[1][0] <= now - self._window_s:
            self._samples.popleft()

    @property
    def bytes_per_s(self) -> float | None:
        """None until something has come for a while."""
        if len(self._samples) < 2:
            return None
        (begun, before), (now, count) = self._samples[0], self._samples[-1]
        if now - begun < 0.5 or count <= before:
            return None
        return (count - before) / (now - begun)
