"""Run many conversations over two models while everything that can go wrong does.

    python -m benchmarks.soak [--seconds N] [--seed N] [--conversations N]

Small synthetic models in real runners. Each conversation sends one or two requests, waits for them or
abandons them, and continues, sometimes with the other model; some prompts are read ahead while they are
typed. Meanwhile runners are killed with SIGKILL, models are unloaded, and memory becomes short, so that only
one model fits, or none. Every request must end in a reply, a cancel or a clear error; none may hang; the
requests of a conversation are served in order; no process, descriptor or task may remain. The printed seed
repeats the prompts, cancels and kills, but not their timing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from spnl_tui.engine.backend import (
    ChatRequest,
    CompletionRequest,
    Event,
    LoadProgressed,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    RequestQueued,
)
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, LoadPlan, plan_load
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.models.files.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.machine import read_machine
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.paths import Paths

HANG_S = 120.0
"""Seconds after which a request counts as hanging; no queue here takes that long."""


@dataclass(slots=True)
class Report:
    """What happened, and the problems found."""

    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    kills: int = 0
    unloads: int = 0
    longest_s: float = 0.0

    def __str__(self) -> str:
        lines = [
            f"{self.kills} runners killed, {self.unloads} unloads; longest request {self.longest_s:.1f} s"
        ]
        lines += [f"{count:6}  {outcome}" for outcome, count in self.outcomes.most_common()]
        return "\n".join([*lines, *(f"PROBLEM: {problem}" for problem in self.problems)])


async def soak(
    models: Sequence[LocalModel], paths: Paths, *, seconds: float, seed: int, conversations: int = 16
) -> Report:
    """Run the soak and return its report."""
    report = Report()
    plans = {model: _plan(model) for model in models}
    largest = max(plan.memory.peak for plan in plans.values())
    descriptors, tasks = _descriptors(), asyncio.all_tasks()

    async def planner(model: LocalModel, context: int | None = None) -> LoadPlan:
        return await asyncio.to_thread(plans.__getitem__, model)

    room = _Room(3 * largest)
    engine = MistralRsBackend(planner, paths, available_memory=lambda: room.free(engine))
    end = time.monotonic() + seconds
    chances = random.Random(seed)
    talks = [
        asyncio.create_task(_converse(engine, models, number, random.Random(chances.random()), end, report))
        for number in range(conversations)
    ]
    chaos = asyncio.create_task(_break_things(engine, models, room, random.Random(chances.random()), report))
    try:
        await asyncio.gather(*talks)
        chaos.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await chaos
    finally:
        await engine.close()
    await _check_nothing_is_left(descriptors, tasks, report)
    return report


@dataclass(slots=True)
class _Room:
    """Memory for runners, of which other programs use a varying share."""

    bytes: int
    share: float = 1.0

    def free(self, engine: MistralRsBackend) -> int:
        return int(self.bytes * self.share) - sum(loaded.memory_bytes for loaded in engine.loaded())


def _plan(model: LocalModel) -> LoadPlan:
    # One thread: two would wait for each other at barriers and slow down beside other programs.
    return plan_load(read_local_facts(model), read_machine(), LoadOverrides(device="cpu", threads=1))


async def _converse(
    engine: MistralRsBackend,
    models: Sequence[LocalModel],
    number: int,
    chances: random.Random,
    end: float,
    report: Report,
) -> None:
    """Send requests of one conversation until the time is up, sometimes two at a time."""
    asked = 0
    served: list[int] = []
    while time.monotonic() < end:
        quiet = time.monotonic() % 10 > 5
        if quiet and number > 1:
            await asyncio.sleep(0.5)  # a prefetch gives way to everything that waits
            continue
        model, draft = chances.choice(models), ""
        if quiet or chances.random() < 0.1:
            draft = " ".join(f"d{chances.randrange(1000)}" for _ in range(chances.choice((100, 300))))
            await _type(engine, model, draft, chances, report)
        requests = []
        for _ in range(chances.choice((1, 1, 2))):
            asked += 1
            requests.append(
                asyncio.create_task(
                    _request(engine, model, asked, draft, chances, served, report, f"{number}.{asked}")
                )
            )
            # Submit each before the next, as one user would.
            await asyncio.sleep(0)
            model = chances.choice(models)
        await asyncio.gather(*requests)
        await asyncio.sleep(chances.choice((0.05, 0.1, 0.5)))
    if served != sorted(served):
        report.problems.append(f"conversation {number} was served out of order: {served}")


async def _type(
    engine: MistralRsBackend, model: LocalModel, draft: str, chances: random.Random, report: Report
) -> None:
    """Type a prompt, which may be read ahead, or replace what was read so far."""
    steps: list[int] = []
    reading = Prefetch([Message("user", draft)], Sampling(), lambda done, total: steps.append(done))
    engine.prefetch(to_handle(model), reading)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reading.ended.wait(), chances.choice((0.05, 0.5, 3.0)))
    if chances.random() < 0.3:
        reading.stop()
        try:
            await asyncio.wait_for(reading.ended.wait(), HANG_S)
        except TimeoutError:
            report.problems.append(f"reading ahead with {model.name} hangs after {len(steps)} steps")
    report.outcomes["read ahead" if steps else "not read ahead"] += 1


async def _request(
    engine: MistralRsBackend,
    model: LocalModel,
    number: int,
    draft: str,
    chances: random.Random,
    served: list[int],
    report: Report,
    name: str,
) -> None:
    """Send one request, and add it to `served` when the engine starts it."""
    events, candidates = _ask(engine, model, draft, chances)
    walk_away = chances.choice((None, None, 0.05, 0.5, 3.0))
    leave_after = chances.choice((None, None, None, ReplyChunk, PrefillProgressed, LoadProgressed))
    ends: list[ReplyFinished | RequestFailed] = []
    last: Event | None = None
    started = time.monotonic()
    task = asyncio.current_task()
    assert task is not None
    if walk_away is not None:
        asyncio.get_running_loop().call_later(walk_away, task.cancel)
    try:
        async with asyncio.timeout(HANG_S), aclosing(events):
            async for event in events:
                last = event
                # Any event after admission: a failure, if its runner is killed at once.
                if not isinstance(event, RequestQueued) and number not in served:
                    served.append(number)
                if isinstance(event, ReplyFinished | RequestFailed):
                    ends.append(event)
                if leave_after is not None and isinstance(event, leave_after):
                    report.outcomes[f"left at {leave_after.__name__}"] += 1
                    return
    except asyncio.CancelledError:
        task.uncancel()
        report.outcomes["cancelled"] += 1
    except TimeoutError:
        report.problems.append(f"request {name} to {model.name} hangs after {last}")
    except Exception as error:
        report.problems.append(f"request {name} raised {error!r} after {last}")
    else:
        if sorted(end.candidate for end in ends) != list(range(candidates)):
            report.problems.append(f"request {name} to {model.name} ended without its ends: {ends}")
        for end in ends:
            if isinstance(end, ReplyFinished):
                report.outcomes[f"replied: {end.finish_reason}"] += 1
                continue
            report.outcomes[f"failed: {end.title}"] += 1
            if not (end.title and end.message and end.hint):
                report.problems.append(f"request {name} failed without saying why: {end}")
    finally:
        report.longest_s = max(report.longest_s, time.monotonic() - started)


def _ask(
    engine: MistralRsBackend, model: LocalModel, draft: str, chances: random.Random
) -> tuple[AsyncGenerator[Event, None], int]:
    """Return some request, and the number of ends it must have."""
    handle = to_handle(model)
    words = [draft] * bool(draft) + [
        f"w{chances.randrange(1000)}" for _ in range(chances.choice((3, 30, 300)))
    ]
    sampling = Sampling(
        temperature=chances.choice((0.0, 1.0)),
        max_tokens=chances.choice((1, 8, 64, 400)),
        seed=chances.choice((None,) * 9 + (7,)),
    )
    match chances.randrange(8):
        case 0:
            return engine.generate(
                handle, CompletionRequest(inputs=[" ".join(words), "two", "three"], sampling=sampling)
            ), 3
        case 1:
            grammar = Grammar("regex", chances.choice(("(yes|no)", "[a-z]{3}", "(")))
            return engine.generate(
                handle, ChatRequest(messages=[Message("user", words[0])], sampling=sampling, grammar=grammar)
            ), 1
        case _:
            n = chances.choice((1, 1, 2))
            return engine.generate(
                handle, ChatRequest(messages=[Message("user", " ".join(words))], sampling=sampling, n=n)
            ), n


async def _break_things(
    engine: MistralRsBackend,
    models: Sequence[LocalModel],
    room: _Room,
    chances: random.Random,
    report: Report,
) -> None:
    """Kill runners, unload models, take memory and return it, at random intervals, until cancelled."""
    while True:
        await asyncio.sleep(chances.choice((0.1, 1.0, 3.0)))
        loaded = engine.loaded()
        room.share = chances.choice((1.0,) * 8 + (0.5, 0.5, 0.0))
        match chances.randrange(4):
            case 0:
                await engine.unload(to_handle(chances.choice(models)))
                report.unloads += 1
            case 1:
                with contextlib.suppress(TimeoutError):  # the caller of unload() may be cancelled, too
                    await asyncio.wait_for(engine.unload(to_handle(chances.choice(models))), 0.01)
                report.unloads += 1
            case 2 if loaded and (pid := chances.choice(loaded).pid) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                report.kills += 1
            case _:
                async with aclosing(engine.load(to_handle(chances.choice(models)))) as events:
                    async for _ in events:
                        break  # requested ahead, and no longer wanted


async def _check_nothing_is_left(descriptors: int, tasks: set[asyncio.Task[object]], report: Report) -> None:
    me = psutil.Process()
    for _ in range(100):  # transports close in the next iterations of the loop
        left = [task for task in asyncio.all_tasks() - tasks if not task.done()]
        children = [child for child in me.children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
        gc.collect()
        if not left and not children and _descriptors() <= descriptors:
            return
        await asyncio.sleep(0.05)
    report.problems += [f"a task is left: {task}" for task in left]
    report.problems += [f"a process is left: {child}" for child in children]
    if (more := _descriptors() - descriptors) > 0:
        report.problems.append(f"{more} descriptors are left")


def _descriptors() -> int:
    return psutil.Process().num_fds()


def make_models(folder: Path) -> tuple[LocalModel, LocalModel]:
    """Create two small random-weight models: replies are nonsense of the greatest length."""
    from tests.support.gguf_maker import make_gguf

    shape: dict[str, Any] = {"width": 256, "context": 2048, "metadata": {"tokenizer.ggml.eos_token_id": 511}}
    small = make_gguf(folder / "small.gguf", layers=2, **shape)
    slow = make_gguf(folder / "slow.gguf", architecture="qwen3", layers=12, **shape)
    return resolve_local(small, "small"), resolve_local(slow, "slow")


def main() -> None:
    """Print the report; exit with 1 if there is a problem."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--conversations", type=int, default=16)
    arguments = parser.parse_args()
    print(
        f"seed {arguments.seed}, {arguments.conversations} conversations, {arguments.seconds:.0f} s",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(
            soak(
                make_models(Path(folder)),
                Paths.below(Path(folder) / "spnl"),
                seconds=arguments.seconds,
                seed=arguments.seed,
                conversations=arguments.conversations,
            )
        )
    print(report)
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
