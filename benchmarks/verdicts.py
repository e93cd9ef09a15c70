"""Predicted against measured memory and speed: the tables of docs/models.md.

    python -m benchmarks.verdicts [--quick] [MODEL…]

Load random-weight models in every tensor type and the starter, or the named models, each by its plan in a
runner of its own, right after calibrating the machine. Run nothing else on it; if that is impossible,
`--threads 1` counts processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from spnl_tui.engine.backend import ModelLoaded, ReplyFinished, RequestFailed
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.calibration import Clock, calibration_for, wall_clock
from spnl_tui.engine.mistralrs.load_plan import LoadOverrides, LoadPlan, plan_load
from spnl_tui.engine.mistralrs.loading import load_command
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.models.files.local import LocalModel, read_local_facts, resolve_local
from spnl_tui.models.fit import PROMPT, Calibration, Verdict, assess
from spnl_tui.models.machine import Machine, read_machine
from spnl_tui.models.request import Message, Sampling

_TOKENS = 24
_CONTEXT = PROMPT + _TOKENS
_LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Measured:
    """Measurements of a real load and a few requests. Bytes are anonymous memory, without the mapped file."""

    error: str | None = None
    load_s: float = 0.0
    loaded_bytes: int = 0
    peak_bytes: int = 0
    """Peak memory of the requests."""
    tokens: int = 0
    prefill: float | None = None
    """Tokens per second for a prompt of about PROMPT tokens."""
    decode: float | None = None


async def measure(
    model: LocalModel, plan: LoadPlan, *, repeats: int = 1, clock: Clock = wall_clock
) -> Measured:
    """Load the model by this plan and run it; the fastest repetition counts."""
    process = await RunnerProcess.spawn(plan.environment)
    try:
        async with asyncio.timeout(_LIMIT_S):
            return await _run(process, model, plan, repeats, clock)
    except TimeoutError:
        return Measured(error=f"not done after {_LIMIT_S} s")
    finally:
        await process.end()


async def _run(
    process: RunnerProcess, model: LocalModel, plan: LoadPlan, repeats: int, clock: Clock
) -> Measured:
    loaded = await _ask(process, load_command(process.next_id(), model, plan, 0))
    if not isinstance(loaded, ModelLoaded):
        return Measured(error=_why(loaded))
    found = Measured(load_s=loaded.seconds, loaded_bytes=_anonymous(process.pid))
    async with _Peak(process.pid) as peak:
        found = await _requests(process, plan, repeats, clock, found)
    return replace(found, peak_bytes=peak.bytes)


async def _requests(
    process: RunnerProcess, plan: LoadPlan, repeats: int, clock: Clock, found: Measured
) -> Measured:
    prefill, one, many = [], [], []
    words = await _words(process, plan)
    for number in range(repeats):
        for text, tokens in (
            (f"{number} " + "word " * words, 1),
            (f"a{number}", 1),
            (f"b{number}", _TOKENS),
        ):
            started = clock(process)
            finished = await _ask(process, _request(process.next_id(), plan, text, tokens))
            seconds = max(clock(process) - started, 1e-9)
            if not isinstance(finished, ReplyFinished):
                return replace(found, error=_why(finished))
            found = replace(found, tokens=max(found.tokens, finished.usage.completion_tokens))
            if len(text) > 10:
                prefill.append(finished.usage.prompt_tokens / seconds)
            elif tokens == 1:
                one.append(seconds)
            elif finished.usage.completion_tokens > _TOKENS // 2:
                many.append((seconds, finished.usage.completion_tokens - 1))
    decode = [count / (seconds - min(one)) for seconds, count in many if seconds > min(one)]
    return replace(found, prefill=max(prefill), decode=max(decode, default=None))


async def _words(process: RunnerProcess, plan: LoadPlan) -> int:
    """Return the words of a prompt of PROMPT tokens: a synthetic tokenizer has one token per letter."""
    counts = []
    for words in (8, 16):
        finished = await _ask(process, _request(process.next_id(), plan, "word " * words, 1))
        counts.append(finished.usage.prompt_tokens if isinstance(finished, ReplyFinished) else 0)
    each = max(1.0, (counts[1] - counts[0]) / 8)
    return max(1, round((PROMPT - counts[0]) / each) + 8)


def _request(id: int, plan: LoadPlan, text: str, tokens: int) -> wire.Command:
    sampling = Sampling(temperature=0.0, max_tokens=tokens)
    if plan.completion_only:
        return wire.Complete(id=id, prompt=text, sampling=sampling)
    return wire.Chat(id=id, messages=(Message("user", text),), sampling=sampling)


async def _ask(process: RunnerProcess, command: wire.Command) -> wire.Event:
    events = process.subscribe(command.id)
    await process.send(command)
    while True:
        event = await events.get()
        if isinstance(event, ModelLoaded | ReplyFinished | RequestFailed | wire.RunnerEnded):
            process.unsubscribe(command.id)
            return event


def _why(event: wire.Event) -> str:
    match event:
        case RequestFailed():
            return f"{event.title}: {event.message}"
        case wire.RunnerEnded():
            return event.reason
    return str(event)


def processor_time(process: RunnerProcess) -> float:
    """Return the processor seconds of the process: with one thread, its time on an idle machine."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


class _Peak:
    """Watches a process's memory while the context is entered."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.bytes = 0

    async def __aenter__(self) -> _Peak:
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, _anonymous(self._pid))
            await asyncio.sleep(0.02)


def _anonymous(pid: int) -> int:
    memory = (
        psutil.Process(pid).memory_full_info()
        if sys.platform == "darwin"
        else psutil.Process(pid).memory_info()
    )
    return int(getattr(memory, "uss", 0) or memory.rss - memory.shared)


# ── the tables ───────────────────────────────────────────────────────────────────────────────────

_SHAPE: dict[str, Any] = {
    "layers": 4, "width": 1024, "feed_forward": 4096, "heads": 8, "kv_heads": 2, "vocabulary": 32768,
    "embedding": "Q4_0", "template": None, "metadata": {"tokenizer.ggml.eos_token_id": 32767},
}  # fmt: skip
_TYPES = (
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "Q8_0",
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "F16",
    "BF16",
    "F32",
)
_NARROW = {"width": 576, "feed_forward": 1536, "heads": 9, "kv_heads": 3, "layers": 12}
_EXPERTS = {"architecture": "qwen3moe", "experts": 8, "feed_forward": 1024}


def _cases(folder: Path, quick: bool) -> Iterator[tuple[str, Path, str]]:
    """Yield name, file and in-situ quantization of each model."""
    from tests.support.gguf_maker import make_gguf
    from tests.support.starter import starter_file

    for number, type in enumerate(_TYPES[::3] if quick else _TYPES):
        file = make_gguf(folder / f"{number}.gguf", matrix=type, **_SHAPE)
        yield f"noise, {type}", file, "none"
        if type in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "F16", "BF16", "F32"):
            yield f"noise, {type}", file, "auto"
        file.unlink()
    for type in () if quick else ("Q8_0", "Q4_1"):
        file = make_gguf(folder / "narrow.gguf", matrix=type, **{**_SHAPE, **_NARROW})
        yield f"narrow rows, {type}", file, "auto"
    if not quick:
        file = make_gguf(folder / "experts.gguf", matrix="Q4_K", **{**_SHAPE, **_EXPERTS})
        yield "8 experts, Q4_K", file, "none"
    yield "SmolLM2-135M-Instruct, Q4_1", starter_file(), "none"
    yield "SmolLM2-135M-Instruct, Q4_1", starter_file(), "auto"


async def _row(
    name: str, path: Path, in_situ: str, machine: Machine, calibration: Calibration, threads: int
) -> str:
    model = resolve_local(path)
    facts = read_local_facts(model)
    wish = LoadOverrides(
        in_situ_quantization=in_situ, context=_CONTEXT, device="cpu", threads=threads, prefix_cache=0
    )
    plan = plan_load(facts, machine, wish)
    verdict = assess(facts, machine, _CONTEXT, calibration, in_situ=plan.in_situ_quantization)
    measured = await measure(model, plan, repeats=2, clock=processor_time if threads == 1 else wall_clock)
    planned = (plan.in_situ_quantization or "as stored") + (", padded" if plan.pad_rows else "")
    if measured.error:
        return f"| {name} | {planned} | {verdict.runs.level} | {measured.error} |||"
    return f"| {name} | {planned} | {_figures(plan, verdict, measured)} |"


def _figures(plan: LoadPlan, verdict: Verdict, measured: Measured) -> str:
    memory, peak = plan.memory.total, measured.peak_bytes
    cells = [f"{memory / 1e6:,.0f} / {peak / 1e6:,.0f} ({memory / peak:.2f})"]
    for expected, real in (
        (verdict.speed.decode, measured.decode),
        (verdict.speed.prefill, measured.prefill),
    ):
        cells.append(f"{expected:,.0f} / {real:,.0f} ({expected / real:.2f})" if expected and real else "-")
    cells.append(f"{measured.load_s:.1f}")
    return " | ".join(cells)


async def _main(arguments: argparse.Namespace) -> None:
    machine = read_machine()
    threads = arguments.threads or machine.fast_cores
    environment = {"RAYON_NUM_THREADS": str(threads)}
    clock = processor_time if threads == 1 else wall_clock
    with tempfile.TemporaryDirectory() as folder:
        calibration = await calibration_for(machine, Path(folder) / "calibration.json", environment, clock)
        print(f"{calibration.made_for}, {threads} threads; predicted / measured (ratio)\n")
        print("| Model | Loaded | Memory, MB | Decode, tokens/s | Prefill, tokens/s | Load, s |")
        print("|---|---|---|---|---|---|")
        cases: Iterator[tuple[str, Path, str]]
        if arguments.models:
            cases = ((path.name, path, way) for path in arguments.models for way in ("none", "auto"))
        else:
            cases = _cases(Path(folder), arguments.quick)
        for name, path, in_situ in cases:
            print(await _row(name, path, in_situ, machine, calibration, threads), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "models", nargs="*", type=Path, help="GGUF files or directories; none for the built-in list"
    )
    parser.add_argument("--quick", action="store_true", help="fewer models")
    parser.add_argument(
        "--threads",
        type=int,
        help="one for each core if not given; with 1, processor time is counted",
    )
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
