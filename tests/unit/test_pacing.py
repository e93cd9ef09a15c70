"""The rate limit, by a clock that the test turns."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from spnl_tui.hub.pulls import pacing
from spnl_tui.hub.pulls.pacing import RateLimit

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


def test_pull_without_a_limit_does_not_wait() -> None:
    stop = threading.Event()
    stop.wait = lambda timeout=None: pytest.fail("it waited")  # type: ignore[method-assign]
    RateLimit().take(10**12, stop)


class Cores(Clock):
    """Computing takes time as well, and the thread's own clock counts it."""

    def __init__(self) -> None:
        super().__init__(late=0.0)
        self.computed = 0.0

    def compute(self, seconds: float) -> None:
        self.now += seconds
        self.computed += seconds

    def thread_time(self) -> float:
        return self.computed

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Cores:
    it = Cores()
    monkeypatch.setattr(pacing, "time", it)
    return it


def _share(limit: RateLimit, cores: Cores, seconds: float, block_s: float = 0.001) -> float:
    """What of a core is taken by a pull that computes so long for each block."""
    begun, before = cores.now, cores.computed
    while cores.now - begun < seconds:
        cores.compute(block_s)
        limit.take(BLOCK, cores)  # type: ignore[arg-type]
    return (cores.computed - before) / (cores.now - begun)


def test_a_pull_hardly_computes_while_that_holds_somebody_up(cores: Cores) -> None:
    holds_up = True
    limit = RateLimit(holds_up=lambda: holds_up)
    assert _share(limit, cores, 10) < 0.035
    holds_up = False
    assert _share(limit, cores, 10) > 0.999  # at once, whatever was computed before
    holds_up = True
    assert _share(limit, cores, 10) < 0.035


def test_prefetch_in_one_piece_does_not_delay_requests(cores: Cores) -> None:
    limit = RateLimit(holds_up=lambda: True)
    limit.take(BLOCK, cores)  # type: ignore[arg-type]
    cores.compute(60)  # a part was hashed
    before = cores.now
    limit.take(BLOCK, cores)  # type: ignore[arg-type]
    assert 0.1 < cores.now - before < 1


def test_the_slower_of_both_limits_holds(cores: Cores) -> None:
    limit = RateLimit(RATE, lambda: True)
    begun = cores.now
    for _ in range(100):
        cores.compute(1e-6)
        limit.take(BLOCK, cores)  # type: ignore[arg-type]
    assert 0.95 < 100 * BLOCK / (cores.now - begun) / RATE < 1.05
