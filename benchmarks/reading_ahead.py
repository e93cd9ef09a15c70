"""The gain of reading ahead: the time to first token of prompts that were read while typed, or not.

    python -m benchmarks.reading_ahead [--rounds 3] [--turns 12]

Cases with SmolLM2, alternating: continue an old conversation, paste a page, and send a short prompt, which is
too short to be read ahead. Each uses a fresh runner; a prompt is sent once all but its last words were read.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from contextlib import aclosing
from pathlib import Path

from spnl_tui.engine.backend import ChatRequest, ReplyFinished
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, LoadPlan, plan_load
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.models.files.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from tests.support.starter import starter_file

_SAMPLING = Sampling(temperature=0, max_tokens=4)


def conversation(turns: int) -> list[Message]:
    """Return a conversation of about 150 tokens per turn."""
    told = []
    for number in range(turns):
        question = f"Question {number}: " + "tell me more about the river and its towns. " * 8
        told += [
            Message("user", question),
            Message("assistant", "The river is long and has many towns. " * 8),
        ]
    return told


async def first_token(
    model: LocalModel,
    plan: LoadPlan,
    paths: Paths,
    before: list[Message],
    typed: str,
    rest: str,
    *,
    ahead: bool,
) -> tuple[float, float, int]:
    """Return seconds to the first token, seconds of reading before it, and prompt tokens."""

    async def planner(model: LocalModel, context: int | None = None) -> LoadPlan:
        return plan

    engine = MistralRsBackend(planner, paths)
    try:
        async for _ in engine.load(to_handle(model)):
            pass
        begun = time.monotonic()
        if ahead:
            reading = Prefetch((*before, Message("user", typed)), _SAMPLING)
            engine.prefetch(to_handle(model), reading)
            await reading.ended.wait()
        read_s = time.monotonic() - begun
        prompt = [*before, Message("user", typed + rest)]
        async with aclosing(
            engine.generate(to_handle(model), ChatRequest(messages=prompt, sampling=_SAMPLING))
        ) as events:
            async for event in events:
                if isinstance(event, ReplyFinished):
                    timing = event.timing
                    waited = (timing.ttft_s or 0) + (timing.queue_s or 0) + (timing.load_s or 0)
                    return waited, read_s, event.usage.prompt_tokens
        raise RuntimeError(f"the request failed: {event}")
    finally:
        await engine.close()


async def measure(rounds: int, turns: int) -> None:
    """Print a line for each case."""
    model = resolve_local(starter_file(), "starter")
    plan = plan_load(read_local_facts(model), read_machine(), LoadOverrides(device="cpu"))
    cases = {
        "a conversation of another day": (
            conversation(turns),
            "And which of the towns is the oldest",
            " one?",
        ),
        "a page pasted into a new one": (
            [],
            "A town has a mill and a market by the river. " * 60,
            "Sum it up.",
        ),
        "a short prompt": ([], "Why is the sky", " blue?"),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = Paths.below(Path(folder) / "spnl")
        for name, (before, typed, rest) in cases.items():
            times: dict[bool, list[float]] = {False: [], True: []}
            reads, tokens = [], 0
            for _ in range(rounds):
                for ahead in (False, True):
                    waited, read_s, tokens = await first_token(
                        model, plan, paths, before, typed, rest, ahead=ahead
                    )
                    times[ahead].append(waited)
                    reads.append(read_s if ahead else 0.0)
            without, with_it = statistics.median(times[False]), statistics.median(times[True])
            print(
                f"{name}: {tokens:,} tokens, first token after {without:.2f} s, read ahead (in "
                f"{max(reads):.1f} s) after {with_it:.2f} s: {without / with_it:.1f} times as soon",
                flush=True,
            )


def main() -> None:
    """Measure and print the gain."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=12)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.rounds, arguments.turns))


if __name__ == "__main__":
    main()
