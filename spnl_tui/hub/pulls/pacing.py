"""Rate limit, retries and patience of pulls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.errors import HubError

_CATCH_UP_S = 0.05
"""The delay in seconds after which a thread still catches up with a rate limit."""
_SHARE = 0.03
"""The share of one core for all pulls together while they would delay a reply."""
_REST_S, _REST_MAX_S = 0.05, 0.5
"""How long a rest is for that. What comes meanwhile is read at once, which costs less than bit by bit."""


class Stopped(Exception):
    """The pull was stopped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions:
    """Options of a pull, in seconds and bytes."""

    connections: int = 4
    """The number of files of one model that are pulled at a time."""
    stall_s: float = 6.0
    """No bytes for this long is a stall: the connection is closed and reopened."""
    connect_s: float = 10.0
    """The seconds to wait for a connection, and for a response of the hub's API."""
    backoff_s: float = 1.0
    """The pause before the first retry; it doubles each time that no bytes arrive."""
    backoff_max_s: float = 30.0
    patience_s: float | None = 900.0
    """Without a single byte for this long, the pull fails; None never gives up."""
    reserve: int = 256_000_000
    """Bytes that a pull leaves free on the disk."""
    make_room: Callable[[Path, int], str] | None = None
    """Asked in a thread, before a pull pauses for want of so many bytes on the file system of this directory:
    frees what it may, and says what else could go."""


class RateLimit:
    """How many bytes a second all pulls that share this may take together; None is no limit.

    While `holds_up` says that what they compute holds somebody up, they also take hardly any processor time.
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
        """Account for received bytes, and wait if they came too early."""
        wait = max(self._wait_for_rate(count), self._wait_for_cores())
        if wait > 0:
            stop.wait(wait)

    def _wait_for_rate(self, count: int) -> float:
        if not (rate := self.bytes_per_s):
            return 0.0
        with self._lock:
            now = time.monotonic()
            # Who wakes a little late catches up, or the limit would never be reached; who comes after a pause
            # begins anew, or there would be a burst.
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
    """Pauses between tries: each longer while no data arrives, until patience runs out."""

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
            HubError: it has been too long.
            Stopped: while waiting.
        """
        options = self._options
        pause = min(options.backoff_s * 2**self._failures, options.backoff_max_s)
        # A server that asks for more than the longest pause knows why; asking for an hour is a mistake.
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
