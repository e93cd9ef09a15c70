"""Kill the whole program with SIGKILL at random moments of streaming sessions, and check what is lost.

    python -m benchmarks.kills [--kills N] [--seed N]

The program runs in a terminal with a runner that sends a chunk every 20 ms and records the time. After each
restart the store must pass `PRAGMA integrity_check`, contain every prompt that the engine received, and lack
at most the last second of the reply; otherwise the benchmark stops with an error.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
from pathlib import Path

from tests.support.kills import kills


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("DATA", "STATE", "CONFIG", "CACHE"):
            os.environ[f"XDG_{name}_HOME"] = str(Path(folder, name.lower()))
        all_kills = []
        for kill in kills(Path(folder), options.kills, options.seed):
            all_kills.append(kill)
            print(
                f"{len(all_kills):3} after {kill.moment_s:4.2f} s: {kill.sent:3} chunks sent, "
                f"{kill.kept:3} kept, {kill.lost_s:4.2f} s lost",
                flush=True,
            )
    taken = [kill for kill in all_kills if kill.taken]
    lost = sorted(kill.lost_s for kill in taken if kill.sent)
    print(f"{len(all_kills)} kills, {len(taken)} with the prompt taken, {len(lost)} with a reply begun")
    print(
        f"lost: median {statistics.median(lost):.2f} s, at most {lost[-1]:.2f} s; integrity_check: always ok"
    )


if __name__ == "__main__":
    main()
