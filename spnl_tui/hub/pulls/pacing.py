"""Limits the rate of pulls, and decides how often and how long to retry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.errors import HubError

_CATCH_UP_S = 0.05
"""Seconds of delay up to which a thread still catches up with the rate limit."""
_SHARE = 0.03
"""The share of one core that all pulls together may use while they would delay a reply."""
_REST_S, _REST_MAX_S = 0.05, 0.5
"""The shortest and the longest pause for this, in seconds. Data that arrives meanwhile is read in one go,
which costs less."""


class Stopped(Exception):
    """Raised when a pull was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions:
    """Options of a pull, in seconds and bytes."""

    connections: int = 4
    """The number of files of one model to pull at a time."""
    stall_s: float = 6.0
    """Seconds without data after which the connection is closed and reopened."""
    connect_s: float = 10.0
    """Seconds to wait for a connection or for a response of the hub's API."""
    backoff_s: float = 1.0
    """Seconds to wait before the first retry; doubled after each retry without data."""
    backoff_max_s: float = 30.0
    patience_s: float | None = 900.0
    """Seconds without any data after which the pull fails; None never gives up."""
    reserve: int = 256_000_000
    """Bytes to leave free on the disk."""
    make_room: Callable[[Path, int], str] | None = None
    """Called in a thread before a pull pauses because this many bytes are missing in a directory's file
    system: frees space and returns a suggestion of what to delete."""


class RateLimit:
    """The limit in bytes per second for all pulls that share it; None for no limit.

    While `holds_up` returns True, because their computing would delay a reply, they also use very little
    processor time.
    """

    def __init__(
        self, bytes_per_s: float | None = None, holds_up: Callable[[], bool] = lambda: False
    ) -> None:
        self.bytes_per_s = bytes_per_s
        self._holds_up = holds_up
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._rested_at = 0.0
        self._thread = threading.local()

    def take(self, count: int, stop: threading.Event) -> None:
        """Account for received bytes, and wait if they arrived too early."""
        wait = max(self._wait_for_rate(count), self._wait_for_cores())
        if wait > 0:
            stop.wait(wait)

    def _wait_for_rate(self, count: int) -> float:
        if not (rate := self.bytes_per_s):
            return 0.0
        with self._lock:
            now = time.monotonic()
            # A thread that wakes a little late catches up, or the limit would never be reached. After a
            # longer pause it starts afresh, or there would be a burst.
            begin = self._free_at if self._free_at > now - _CATCH_UP_S else now
            self._free_at = begin + count / rate
            wait = self._free_at - now
        # Let short waits accumulate, because sleeping for each costs more than it gains.
        return wait if wait > 0.01 else 0.0

    def _wait_for_cores(self) -> float:
        if not self._holds_up():
            self._thread.computed = None
            return 0.0
        before, self._thread.computed = getattr(self._thread, "computed", None), time.thread_time()
        if before is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            rested_at = max(self._rested_at, now) + (self._thread.computed - before) / _SHARE
            self._rested_at = min(rested_at, now + _REST_MAX_S)
            wait = self._rested_at - now
        return wait if wait > _REST_S else 0.0


class Backoff:
    """Pauses between retries, which grow while no data arrives, until the pull gives up."""

    def __init__(self, options: PullOptions, stop: threading.Event) -> None:
        self._options = options
        self._stop = stop
        self.retry_at: float | None = None
        self.progressed()

    def progressed(self) -> None:
        """Reset the pauses, because data arrived."""
        self._failures = 0
        self._last_good = time.monotonic()

    def wait(self, why: str, wait_s: float | None) -> None:
        """Wait before the next try.

        Raises:
            HubError: no data arrived for `patience_s`.
            Stopped: the pull was stopped while waiting.
        """
        options = self._options
        pause = min(options.backoff_s * 2**self._failures, options.backoff_max_s)
        # A server may ask for more than our longest pause, but asking for an hour is a mistake.
        pause = max(pause, min(wait_s, 300.0)) if wait_s is not None else pause
        self._failures = min(self._failures + 1, 16)
        if options.patience_s is not None and time.monotonic() + pause - self._last_good > options.patience_s:
            raise HubError(
                "Hugging Face cannot be reached"
                if why.startswith("no connection")
                else "The pull made no progress",
                f"No data arrived for {options.patience_s:.0f} s. The last try ended with: {why}.",
                "Pull again to resume.",
            )
        self.retry_at = time.monotonic() + pause
        stopped = self._stop.wait(pause)
        self.retry_at = None
        if stopped:
            raise Stopped
