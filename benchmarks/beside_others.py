"""A model's speed beside other busy programs, by the engine's threads and how long they spin.

    python -m benchmarks.beside_others [MODEL] [--rounds 3] [--spins 25000 200] [--threads 2 1] [--busy 0 1 2]

Each case has its own runner, which reads a prompt of about 60 words and decodes 64 tokens, three times, while
`--busy` processes count in a loop. The cases alternate. The default model is the starter.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import statistics
import sys
from collections import defaultdict
from contextlib import aclosing
from pathlib import Path

from spnl_tui.engine.backend import ReplyFinished
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import SPIN_LIMIT, LoadOverrides, plan_load
from spnl_tui.engine.mistralrs.pooled_model import PooledModel
from spnl_tui.engine.mistralrs.request import RunnerRequest
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.models.files.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Message, Sampling
from tests.support.starter import starter_file

_TOKENS = 48


async def measure(model: LocalModel, threads: int, spins: int) -> tuple[float, float]:
    """Return seconds to the first token, and tokens per second after it: medians of three."""
    plan = plan_load(read_local_facts(model), read_machine(), LoadOverrides(threads=threads))
    environment = {**plan.environment, SPIN_LIMIT: str(spins)}
    pooled = PooledModel(
        model, dataclasses.replace(plan, environment=environment), RunnerProcess.spawn, lambda: 0
    )
    firsts, speeds = [], []
    try:
        async for _ in pooled.load():
            pass
        for turn in range(4):
            prompt = " ".join(f"{turn} and {number}," for number in range(30))
            command = wire.Chat(
                id=0,
                messages=(Message("user", prompt),),
                sampling=Sampling(temperature=1.0, max_tokens=_TOKENS),
            )
            async with aclosing(RunnerRequest(pooled, command).follow()) as events:
                *_, end = [event async for event in events]
            assert isinstance(end, ReplyFinished)
            timing = end.timing
            if turn and timing.ttft_s and timing.itl_s:  # the first one is a warm-up
                firsts.append(timing.ttft_s)
                speeds.append(1 / timing.itl_s)
    finally:
        await pooled.end()
    return statistics.median(firsts), statistics.median(speeds)


async def _main(arguments: argparse.Namespace) -> None:
    model = resolve_local(arguments.model or starter_file())
    for busy in arguments.busy:
        found = defaultdict(list)
        others = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
            for _ in range(busy)
        ]
        try:
            for _ in range(arguments.rounds):
                for threads in arguments.threads:
                    for spins in arguments.spins if threads > 1 else arguments.spins[:1]:
                        found[threads, spins].append(await measure(model, threads, spins))
        finally:
            for other in others:
                other.kill()
                await other.wait()
        for (threads, spins), values in found.items():
            first, speed = (statistics.median(each) for each in zip(*values, strict=True))
            spread = f"{min(s for _, s in values):.0f}–{max(s for _, s in values):.0f}"
            print(
                f"{busy} others, {threads} threads, spins {spins:>6,}: first token after {first:.2f} s, "
                f"then {speed:.1f} tokens/s ({spread})",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spins", type=int, nargs="+", default=[25_000, 2_000, 200, 20])
    parser.add_argument("--threads", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2])
    asyncio.run(_main(parser.parse_args()))
