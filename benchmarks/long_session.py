"""A long session: check that memory stays within the plan and that the time to first token stays flat.

    python -m benchmarks.long_session [--requests 300] [--turns 40] [--starter] [--threads N]

Part one sends many requests of mixed length, up to 3,000 tokens: single prompts and growing conversations. It
samples the runner's memory twenty times a second, compares it with the plan, and reports the growth of this
process. It uses a synthetic model, because 300 requests take SmolLM2 most of an hour; --starter uses SmolLM2
anyway. Part two is one conversation with SmolLM2, with equally many new tokens per turn: the time to first
token at its end ÷ that of its second turn. A turn follows when the engine is idle, as after a user has read
the reply; `--hasty` sends it at once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from spnl_tui.engine.backend import ChatRequest, Event, ReplyChunk, ReplyFinished
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, LoadPlan, plan_load
from spnl_tui.models.files.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from tests.support.waiting import wait_until

LONGEST = 3000


@dataclass(slots=True)
class Session:
    """The results of a session. Sizes in bytes, times in seconds."""

    plan: LoadPlan
    requests: int = 0
    tokens: int = 0
    """Tokens of all prompts."""
    failures: list[str] = field(default_factory=list)
    runner_peak: int = 0
    runners: set[int] = field(default_factory=set)
    own_growth: int = 0
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """Peak memory of the runner ÷ the planned memory."""
        return self.runner_peak / self.plan.memory.total

    def __str__(self) -> str:
        return (
            f"{self.requests} requests of {self.tokens:,} tokens in {self.seconds:.0f} s, "
            f"{len(self.failures)} failed; runner at most {self.runner_peak / 1e6:,.0f} MB, planned "
            f"{self.plan.memory.total / 1e6:,.0f} MB ({self.share:.2f}); "
            f"renewed {len(self.runners) - 1} times; "
            f"this process grew by {self.own_growth / 1e6:.0f} MB"
        )


async def mixed_requests(
    model: LocalModel, paths: Paths, *, requests: int, seed: int, threads: int | None
) -> Session:
    """Send many requests of mixed length to one model."""
    chances = random.Random(seed)
    plan = _plan(model, threads)
    session = Session(plan)
    started = time.monotonic()
    conversation: list[Message] = []
    length = 0
    async with _engine(plan, paths) as engine, _watched(engine, session):
        for number in range(requests):
            tokens = int(LONGEST ** chances.uniform(0.3, 1.0))
            if length + tokens > LONGEST or chances.random() < 0.3:
                conversation, length = [], 0  # another conversation
            conversation.append(Message("user", _prompt(number, tokens)))
            text, end = await _ask(engine, model, conversation, chances.choice((1, 8, 32)))
            session.requests += 1
            if isinstance(end, ReplyFinished):
                session.tokens += end.usage.prompt_tokens
                length = end.usage.prompt_tokens + end.usage.completion_tokens
            else:
                session.failures.append(str(end))
            conversation.append(Message("assistant", text))
    session.seconds = time.monotonic() - started
    return session


async def turns(
    model: LocalModel, paths: Paths, *, turns: int, threads: int | None, hasty: bool
) -> tuple[list[float], Session]:
    """Return the time to first token of each turn of one conversation, with equally many new tokens each."""
    plan = _plan(model, threads)
    session = Session(plan)
    times = []
    conversation: list[Message] = []
    async with _engine(plan, paths) as engine, _watched(engine, session):
        async for _ in engine.load(to_handle(model)):
            pass
        for number in range(turns):
            conversation.append(Message("user", _prompt(number, 50)))
            text, end = await _ask(engine, model, conversation, 16)
            if not isinstance(end, ReplyFinished) or end.timing.ttft_s is None:
                raise RuntimeError(f"turn {number + 1} failed: {end}")
            times.append(
                (end.timing.ttft_s or 0.0) + (end.timing.queue_s or 0.0) + (end.timing.load_s or 0.0)
            )
            session.tokens = end.usage.prompt_tokens
            conversation.append(Message("assistant", text))
            if not hasty:
                await wait_until(lambda: engine.at_rest, 600)
    return times, session


def _plan(model: LocalModel, threads: int | None) -> LoadPlan:
    wish = LoadOverrides(device="cpu", threads=threads)
    return plan_load(read_local_facts(model), read_machine(), wish)


@contextlib.asynccontextmanager
async def _engine(plan: LoadPlan, paths: Paths) -> AsyncIterator[MistralRsBackend]:
    async def planner(model: LocalModel, context: int | None = None) -> LoadPlan:
        return plan

    engine = MistralRsBackend(planner, paths)
    try:
        yield engine
    finally:
        await engine.close()


@contextlib.asynccontextmanager
async def _watched(engine: MistralRsBackend, session: Session) -> AsyncIterator[None]:
    """Watch the memory of all processes while the context is entered."""
    me = psutil.Process(os.getpid())
    before = me.memory_info().rss

    async def watch() -> None:
        while True:
            for loaded in engine.loaded():
                session.runner_peak = max(session.runner_peak, loaded.memory_bytes)
                if loaded.pid is not None:
                    session.runners.add(loaded.pid)
            session.own_growth = max(session.own_growth, me.memory_info().rss - before)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


def _prompt(number: int, tokens: int) -> str:
    """Return a text of at most about `tokens` tokens with a unique beginning.

    A letter is a token of synthetic models.
    """
    return f"Number {number}: " + "".join(chr(97 + n % 26) for n in range(max(1, tokens - 14)))


async def _ask(
    engine: MistralRsBackend, model: LocalModel, messages: list[Message], tokens: int
) -> tuple[str, Event]:
    text = ""
    end: Event | None = None
    sampling = Sampling(temperature=0, max_tokens=tokens)
    async with aclosing(
        engine.generate(to_handle(model), ChatRequest(messages=messages, sampling=sampling))
    ) as events:
        async for end in events:
            if isinstance(end, ReplyChunk):
                text += end.text
    assert end is not None
    return text, end


def make_model(folder: Path) -> LocalModel:
    """Create a small random-weight model with a large KV cache: 32 KB per token."""
    from tests.support.gguf_maker import make_gguf

    shape: dict[str, Any] = {"layers": 8, "heads": 8, "kv_heads": 8, "head_width": 64, "context": 8192}
    return resolve_local(make_gguf(folder / "made.gguf", **shape), "made")


def main() -> None:
    """Print the results of both parts; exit with 1 if an aim is missed."""
    from tests.support.starter import starter_file

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--starter", action="store_true")
    parser.add_argument("--hasty", action="store_true")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths.below(Path(folder) / "spnl")
        starter = resolve_local(starter_file(), "starter")
        if arguments.requests:
            model = starter if arguments.starter else make_model(Path(folder))
            session = asyncio.run(
                mixed_requests(
                    model, paths, requests=arguments.requests, seed=arguments.seed, threads=arguments.threads
                )
            )
            print(f"{model.name}, seed {arguments.seed}: {session}", flush=True)
            for failure in session.failures:
                print(failure)
            good = not session.failures and session.share <= 1.15
        if arguments.turns:
            times, session = asyncio.run(
                turns(starter, paths, turns=arguments.turns, threads=arguments.threads, hasty=arguments.hasty)
            )
            print("TTFT of each turn, s: " + " ".join(f"{seconds:.2f}" for seconds in times))
            # Median of three turns around each, because other programs share the processor.
            early, late = statistics.median(times[1:4]), statistics.median(times[-3:])
            print(
                f"turns 2-4: {early:.2f} s, the last three: {late:.2f} s, ratio {late / early:.2f}; {session}"
            )
            good = good and late <= 2 * early
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
