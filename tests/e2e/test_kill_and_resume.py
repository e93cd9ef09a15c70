"""kill -9 of the whole program in the middle of a reply: what was sent, and what had come, is there again.

`python -m benchmarks.kills` does the same fifty times.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.kills import kills

pytestmark = pytest.mark.alone


def test_kill_9_at_random_moments_costs_at_most_the_last_second(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    # A second is promised; on a busy machine the program may be late itself.
    for kill in kills(tmp_path, 3, seed, lost_at_most_s=2.0):
        print(kill)
