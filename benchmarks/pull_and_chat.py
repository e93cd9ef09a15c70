"""The speed of a chat during a pull ÷ its speed without one.

    python -m benchmarks.pull_and_chat MODEL.gguf [--rounds 6] [--rates 12.5 100] [--threads N]

The engine, the queue of pulls and its subscribers share one process, as in the program; the hub is on
127.0.0.1 in a niced process of its own, because a real hub would not run here. Replies without a pull, with
one, and beside curl alternate, so that other work on the machine affects all of them. curl fetches the same
file at the same rate and keeps nothing, which shows the cost of network and hub alone. Rates are in MB (10⁶
bytes) per second: 12.5 is a line of 100 Mbit/s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from spnl_tui.engine.backend import Backend, ChatRequest, ReplyFinished, RequestFailed
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.pull import PullRequest, RateLimit
from spnl_tui.hub.pulls.queue import PullQueue
from spnl_tui.models.files.local import LocalModel, resolve_local
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from spnl_tui.services import make_engine
from spnl_tui.settings import EngineSettings, Settings

SIZE = 20_000_000_000
REQUEST = PullRequest("acme/Big-GGUF", ("big-Q8_0.gguf",))
LINK = f"{REQUEST.repo}/resolve/main/{REQUEST.files[0]}"


def serve() -> None:
    """Serve the hub until killed."""
    from tests.support.hub import LoopbackHub
    from tests.support.hub_content import Content

    class Zeros(Content):
        """Create a big file at no cost."""

        sha256, git_sha1 = "0" * 64, "0" * 40
        size = SIZE

        def __init__(self) -> None:
            self._block = bytes(1 << 20)

        def read(self, start: int, count: int) -> bytes:
            return self._block[:count] if count <= len(self._block) else bytes(count)

    os.nice(5)
    with LoopbackHub() as hub:
        hub.add_repo(REQUEST.repo, {REQUEST.files[0]: Zeros()})
        print(hub.endpoint, flush=True)
        while True:
            time.sleep(3600)


async def decode_speed(engine: Backend, model: LocalModel, tokens: int) -> float:
    """Return tokens per second of one greedy reply after its first token."""
    request = ChatRequest(
        messages=[Message("user", "Write a long story about a ship and its crew.")],
        sampling=Sampling(temperature=0.0, max_tokens=tokens),
    )
    async with aclosing(engine.generate(to_handle(model), request)) as events:
        async for event in events:
            if isinstance(event, RequestFailed):
                raise SystemExit(f"{event.title}: {event.message}")
            if isinstance(event, ReplyFinished):
                assert event.timing.decode_tokens_per_s is not None
                return event.timing.decode_tokens_per_s
    raise AssertionError("a reply ends")


async def speed_beside_curl(
    engine: Backend, model: LocalModel, tokens: int, endpoint: str, rate: float
) -> float:
    """Return the same while curl fetches `rate` MB per second."""
    command = ["curl", "-sfL", "-o", "/dev/null", "--limit-rate", f"{rate * 1e6:.0f}", f"{endpoint}/{LINK}"]
    fetch = await asyncio.create_subprocess_exec(*command)
    try:
        await asyncio.sleep(0.5)
        return await decode_speed(engine, model, tokens)
    finally:
        fetch.kill()
        await fetch.wait()


async def until_pulling(queue: PullQueue) -> None:
    """Wait until bytes arrive."""
    async with aclosing(queue.events()) as events:
        async for event in events:
            if event.pulls and event.pulls[0].state == "pulling":
                return
    raise AssertionError("the queue was closed")


async def follow(queue: PullQueue) -> None:
    """Handle events as the interface does, without painting."""
    async with aclosing(queue.events()) as events:
        async for _ in events:
            pass


async def measure(
    model: LocalModel,
    endpoint: str,
    folder: Path,
    rates: list[float],
    rounds: int,
    tokens: int,
    threads: int | None,
) -> None:
    """Print a line for each rate."""
    engine = make_engine(Settings(engine=EngineSettings(threads=threads)), Paths.below(folder / "spnl"))
    limit = RateLimit(None, lambda: engine.needs_every_core)
    queue = PullQueue(
        folder / "downloads.json", hub=HubAccess(endpoint, False), cache=folder / "cache", rate=limit
    )
    follower = asyncio.create_task(follow(queue))
    try:
        await decode_speed(engine, model, 16)  # load the model
        for rate in rates:
            limit.bytes_per_s = rate * 1e6
            alone: list[float] = []
            beside: list[float] = []
            by_curl: list[float] = []
            pulled = 0.0
            for _ in range(rounds):
                alone.append(await decode_speed(engine, model, tokens))
                id = queue.add(REQUEST, "big")  # or resume it
                await until_pulling(queue)
                done, begun = queue.items[0].done, time.monotonic()
                beside.append(await decode_speed(engine, model, tokens))
                pulled += (queue.items[0].done - done) / (time.monotonic() - begun) / rounds
                queue.pause(id)
                by_curl.append(await speed_beside_curl(engine, model, tokens, endpoint, rate))
            ratio = statistics.median(b / a for a, b in zip(alone, beside, strict=True))
            curl_ratio = statistics.median(c / a for a, c in zip(alone, by_curl, strict=True))
            print(
                f"  {rate:6.1f} MB/s allowed, {pulled / 1e6:6.1f} came:"
                f" {statistics.median(beside):5.1f} tokens/s,"
                f" {statistics.median(alone):5.1f} without: {ratio:.2f} (curl {curl_ratio:.2f})",
                flush=True,
            )
    finally:
        follower.cancel()
        await asyncio.gather(queue.close(), engine.close())


def main() -> None:
    """Measure and print a table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("model", type=Path, nargs="?")
    arguments.add_argument("--rounds", type=int, default=6)
    arguments.add_argument("--tokens", type=int, default=120)
    arguments.add_argument("--threads", type=int, help="of the engine; not given: as the load plan has it")
    arguments.add_argument("--rates", type=float, nargs="+", default=[12.5, 100.0])
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.serve:
        serve()
    if options.model is None:
        arguments.error("name a model file")
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.pull_and_chat", "--serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        endpoint = server.stdout.readline().strip()
        print(f"Decoding of {options.model.name}, {options.rounds} replies of {options.tokens} tokens each:")
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(
                measure(
                    resolve_local(options.model),
                    endpoint,
                    Path(folder),
                    options.rates,
                    options.rounds,
                    options.tokens,
                    options.threads,
                )
            )
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
