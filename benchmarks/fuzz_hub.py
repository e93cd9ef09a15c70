"""Fuzz the routes to the hub: `python -m benchmarks.fuzz_hub [COUNT] [SEED] [ROUTE…]`.

Sends COUNT (5,000) mutated answers through each of search, show and pull, with the real huggingface_hub
client against a hub on 127.0.0.1, and prints what came of them, the slowest and the growth of memory. Fails
at the first exception that is not an error for the user, and prints its seed.
"""

from __future__ import annotations

import asyncio
import collections
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


async def main(count: int, first: int, routes: tuple[str, ...]) -> None:
    """Run each route, and print a summary."""
    from tests.support.fuzz_hub import FuzzHub
    from tests.support.fuzzed_routes import FuzzedRoutes
    from tests.support.gguf_maker import make_gguf

    with tempfile.TemporaryDirectory() as folder, FuzzHub(make_gguf(Path(folder, "m.gguf"))) as hub:
        for route in routes:
            fuzzed = FuzzedRoutes(hub, Path(folder))
            outcomes: collections.Counter[str] = collections.Counter()
            slowest, begun, memory = (0.0, 0), time.monotonic(), 0
            for seed in range(first, first + count):
                started = time.monotonic()
                try:
                    outcomes[await asyncio.wait_for(fuzzed.run(route, seed), 30)] += 1
                except BaseException:
                    print(f"{route}: failed with seed {seed}", flush=True)
                    raise
                slowest = max(slowest, (time.monotonic() - started, seed))
                if seed == first + count // 5:  # caches are filled by then
                    memory = psutil.Process().memory_info().rss
            grown = (psutil.Process().memory_info().rss - memory) / 1e6
            print(
                f"{route}: {count} answers from seed {first} in {time.monotonic() - begun:.0f} s, slowest "
                f"{slowest[0]:.2f} s (seed {slowest[1]}), memory grew by {grown:.1f} MB\n"
                f"  {outcomes.most_common()}",
                flush=True,
            )
            await fuzzed.close()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    asyncio.run(
        main(
            int(arguments[0]) if arguments else 5000,
            int(arguments[1]) if len(arguments) > 1 else 1,
            tuple(arguments[2:]) or ("search", "show", "pull"),
        )
    )
