"""SIGKILL of every process around the resident engine."""

from __future__ import annotations

import pytest

from tests.support.engine_kills import kill_at_random


@pytest.mark.slow
def test_kills_at_random_moments_hang_nothing_and_leave_no_orphan() -> None:
    outcomes = kill_at_random(5, seed=3)
    assert outcomes["reply"] > 10
