"""The cost of a pull: its throughput beside curl's, and its memory.

    python -m benchmarks.pull [--mb N] [--rounds N] [--rate MB/s]

A hub on 127.0.0.1, in its own process, serves one file. curl and a pull (which also checks the SHA-256 and
calls fsync) fetch it in turn, at full loopback speed and at the rate of a fast line. curl also fetches it in
four ranges at once, to show what parallel ranges gain.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hub_content import BLOCK, Pattern

REPO, FILE = "acme/Big-GGUF", "big-Q4_K_M.gguf"
LINK = f"{REPO}/resolve/main/{FILE}"


@contextmanager
def serve(directory: Path, rate: int | None) -> Iterator[str]:
    """Serve the directory, and yield the hub's endpoint."""
    command = [sys.executable, "-m", "tests.support.hub", str(directory), *([str(rate)] if rate else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().strip()
        try:
            # Its first answer hashes the file.
            subprocess.run(["curl", "-sf", "-o", "/dev/null", "-I", f"{endpoint}/{LINK}"], check=True)
            yield endpoint
        finally:
            process.kill()


def curl(endpoint: str, scratch: Path, size: int, ranges: int = 1) -> float:
    """Return the seconds that curl takes with `connections` connections."""
    step, url = -(-size // ranges), f"{endpoint}/{LINK}"
    begun = time.perf_counter()
    fetches = [
        subprocess.Popen(
            ["curl", "-sfL", "-o", scratch / f"curl{n}", "-r", f"{n * step}-{(n + 1) * step - 1}", url]
        )
        for n in range(ranges)
    ]
    for fetch in fetches:
        if fetch.wait() != 0:
            raise SystemExit(f"curl failed: {fetch.returncode}")
    return time.perf_counter() - begun


def pull(endpoint: str, scratch: Path) -> dict[str, float]:
    """Return seconds and memory of a pull in a fresh process with all modules loaded."""
    cache = scratch / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.pull", "--child", endpoint, str(cache)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(output)
    return figures


def child(endpoint: str, cache: Path) -> None:
    """Run one pull and print its figures."""
    import httpx2
    import psutil

    from spnl_tui.hub.access import HubAccess, open_session
    from spnl_tui.hub.pulls.pull import PullRequest
    from spnl_tui.hub.pulls.pull import pull as pull_files

    hub = HubAccess(endpoint, False)
    open_session()
    hub.headers()
    assert httpx2
    process = psutil.Process()

    async def run() -> dict[str, float]:
        idle = peak = process.memory_info().rss
        cpu = process.cpu_times()
        begun = time.perf_counter()
        async for _ in pull_files(PullRequest(REPO, (FILE,)), hub=hub, cache=cache):
            peak = max(peak, process.memory_info().rss)
        seconds = time.perf_counter() - begun
        after = process.cpu_times()
        return {
            "seconds": seconds,
            "idle": idle,
            "peak": peak,
            "cpu": after.user + after.system - cpu.user - cpu.system,
        }

    print(json.dumps(asyncio.run(run())))


def measure(mb: int, rounds: int, rate: int | None, scratch: Path) -> None:
    size = mb * BLOCK
    with serve(scratch / "served", rate) as endpoint:
        by_curl, by_ranges, by_pull = [], [], []
        for _ in range(rounds):
            by_curl.append(curl(endpoint, scratch, size))
            by_ranges.append(curl(endpoint, scratch, size, ranges=4))
            by_pull.append(pull(endpoint, scratch))
    curl_s = statistics.median(by_curl)
    pull_s = statistics.median(figures["seconds"] for figures in by_pull)
    ranges_s = statistics.median(by_ranges)
    print(f"line of {rate / 1e6:.0f} MB/s for each connection" if rate else "as fast as the loopback goes")
    print(f"  curl                 {size / curl_s / 1e6:7.0f} MB/s")
    print(f"  curl, four ranges    {size / ranges_s / 1e6:7.0f} MB/s")
    print(f"  pull, proven         {size / pull_s / 1e6:7.0f} MB/s   {curl_s / pull_s:.2f} × curl")
    above = max(figures["peak"] - figures["idle"] for figures in by_pull)
    print(f"  memory of the pull   {above / 1e6:7.1f} MB above idle")
    print(f"  CPU of the pull      {statistics.median(f['cpu'] for f in by_pull):7.2f} s for {mb} MiB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=1024, help="size of the file in MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=float, default=125.0, help="rate of the slower line in MB/s")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        file = scratch / "served" / REPO / FILE
        file.parent.mkdir(parents=True)
        with file.open("wb") as out:
            for block in Pattern(options.mb * BLOCK).blocks():
                out.write(block)
        for rate in (None, int(options.rate * 1e6)):
            measure(options.mb, options.rounds, rate, scratch)


if __name__ == "__main__":
    main()
