"""Load damaged GGUFs in real runners; each must load or end in a clear error.

    python -m benchmarks.fuzz_runner [COUNT] [SEED]

Small synthetic models of several architectures are damaged as in benchmarks.fuzz_gguf. Each is loaded in a
runner of its own, without the header checks that would reject most of them; what loads must reply with two
tokens. No load or request may hang, no process may remain, and this process may not grow.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.fuzz_gguf import mutations
from spnl_tui.engine.backend import ModelLoaded, ReplyFinished, RequestFailed
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, LoadPlan, plan_load
from spnl_tui.engine.mistralrs.loading import load_command
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.models.files.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Message, Sampling

HANG_S = 60.0
MODELS: tuple[dict[str, Any], ...] = (
    {"architecture": "llama", "matrix": "Q8_0"},
    {"architecture": "qwen3", "matrix": "Q4_K"},
    {"architecture": "gemma2", "matrix": "Q4_0", "tokenizer": "llama"},
    {"architecture": "mixtral", "matrix": "Q8_0", "experts": 4},
)


@dataclass(slots=True)
class Report:
    """How the loads ended, and the problems found. Sizes in bytes, times in seconds."""

    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    largest: int = 0
    """Peak memory of a runner."""
    growth: int = 0
    """Growth of this process from the hundredth load on."""

    def __str__(self) -> str:
        lines = [
            f"slowest {self.slowest_s:.1f} s, largest runner {self.largest / 1e6:,.0f} MB, "
            f"growth {self.growth / 1e6:.1f} MB"
        ]
        lines += [f"{count:6}  {outcome}" for outcome, count in self.outcomes.most_common()]
        return "\n".join([*lines, *(f"PROBLEM: {problem}" for problem in self.problems)])


async def fuzz(folder: Path, count: int, seed: int) -> Report:
    """Load `count` damaged models, one after the other."""
    report = Report()
    me = psutil.Process()
    early = 0
    for number, (plan, data) in enumerate(_damaged(folder, count, seed)):
        path = folder / "damaged.gguf"
        path.write_bytes(data)
        model = LocalModel("damaged", "gguf", folder, (path.name,))
        started = time.monotonic()
        try:
            async with asyncio.timeout(HANG_S):
                outcome = await _load_and_ask(model, plan, report)
        except TimeoutError:
            outcome = "hung"
            report.problems.append(f"number {number} of seed {seed} hung")
        report.slowest_s = max(report.slowest_s, time.monotonic() - started)
        report.outcomes[outcome] += 1
        if left := me.children(recursive=True):
            report.problems.append(f"number {number} left {left}")
        early = early or (me.memory_info().rss if number >= min(100, count // 2) else 0)
    report.growth = me.memory_info().rss - early
    if report.growth > 20e6:
        report.problems.append("this process grew")
    return report


def _damaged(folder: Path, count: int, seed: int) -> Iterator[tuple[LoadPlan, bytes]]:
    """Yield damaged models, each with the plan for the undamaged one."""
    from tests.support.gguf_maker import make_gguf

    kinds = []
    for number, changes in enumerate(MODELS):
        path = make_gguf(folder / f"whole-{number}.gguf", layers=1, **changes)
        facts = read_local_facts(resolve_local(path))
        plan = plan_load(facts, read_machine(), LoadOverrides(device="cpu", threads=1))
        kinds.append((plan, mutations(path.read_bytes(), -(-count // len(MODELS)), seed + number)))
    for number in range(count):
        plan, damaged = kinds[number % len(kinds)]
        yield plan, next(damaged)


async def _load_and_ask(model: LocalModel, plan: LoadPlan, report: Report) -> str:
    """Return the outcome in one word."""
    process = await RunnerProcess.spawn(plan.environment)
    try:
        end = await _end_of(process, load_command(process.next_id(), model, plan, 0))
        if isinstance(end, ModelLoaded):
            message, sampling = Message("user", "Hi"), Sampling(temperature=0, max_tokens=2)
            chat = wire.Chat(id=process.next_id(), messages=(message,), sampling=sampling)
            end = await _end_of(process, chat)
        if process.ended is None:
            report.largest = max(report.largest, psutil.Process(process.pid).memory_info().rss)
    finally:
        await process.end()
    match end:
        case ReplyFinished():
            return "loaded, and replied"
        case RequestFailed():
            if not (end.title and end.message):
                report.problems.append(f"an error without words: {end}")
            return end.title
        case wire.RunnerEnded(reason=reason):
            if not reason:
                report.problems.append("a runner ended without a reason")
            return "the runner ended, which the engine tells"
    report.problems.append(f"it ended with {end}")
    return "?"


async def _end_of(process: RunnerProcess, command: wire.Command) -> wire.Event:
    events = process.subscribe(command.id)
    await process.send(command)
    ends = ModelLoaded | ReplyFinished | RequestFailed | wire.RunnerEnded
    while not isinstance(event := await events.get(), ends):
        pass
    return event


def main() -> None:
    """Print the outcomes; exit with 1 if there is a problem."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(fuzz(Path(folder), count, seed))
    print(f"{count:,} damaged models, seed {seed}: {report}")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
