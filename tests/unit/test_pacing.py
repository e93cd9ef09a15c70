"""The rate limit, by a clock that the test turns."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from spnl_tui.hub import pacing
from spnl_tui.hub.pacing import RateLimit

RATE = 10e6
BLOCK = 65_536


class Clock:
    """Time that passes only while somebody waits, who then wakes late by so many seconds."""

    def __init__(self, late: float) -> None:
        self.now = 100.0
        self._late = late

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> bool:
        self.now += seconds + self._late
        return False


@pytest.mark.parametrize("late", [0.0, 0.002, 0.02])
def test_it_is_reached_and_not_passed(monkeypatch: pytest.MonkeyPatch, late: float) -> None:
    clock = Clock(late)
    monkeypatch.setattr(pacing, "time", SimpleNamespace(monotonic=lambda: clock.now))
    limit = RateLimit(RATE)
    for second in (0.2, 1.0, 5.0):
        clock.now += 60  # what was not used for a minute makes no burst
        begun, taken = clock.now, 0
        while clock.now - begun < second:
            limit.take(BLOCK, clock)  # type: ignore[arg-type]
            taken += BLOCK
        share = taken / (clock.now - begun) / RATE
        assert 0.98 - late / second < share < 1.0 + 3 * BLOCK / (RATE * second)


def test_without_a_limit_nobody_waits() -> None:
    stop = threading.Event()
    stop.wait = lambda timeout=None: pytest.fail("it waited")  # type: ignore[method-assign]
    RateLimit().take(10**12, stop)
