"""The cost of span queries, and what they save.

    python -m benchmarks.queries [--mutations N] [--model FILE.gguf [--items N]]

Without a model: the scheduler's own time per request, and reading damaged queries. With a GGUF: four
candidates of a long prompt against one, and a 16-way plus against sixteen runs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from spnl_tui.engine.backend import ChatRequest, Event, ModelHandle, ReplyChunk, ReplyFinished
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.models.files.local import resolve_local
from spnl_tui.paths import Paths
from spnl_tui.queries.events import NodeFinished, QueryFinished
from spnl_tui.queries.figures import Figures
from spnl_tui.queries.formats.any_format import read_query
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.run import run_query
from spnl_tui.queries.simplify import simplify
from spnl_tui.queries.source import QuerySyntaxError
from spnl_tui.queries.tree import Generate, Query, Repeat
from spnl_tui.queries.tree import Message as Said
from spnl_tui.services import make_engine
from spnl_tui.settings import Settings
from tests.support.mutations import SEEDS, mutate

REQUESTS = 1_000


class InstantEngine:
    """Replies at once, so that only the scheduler's time remains."""

    async def generate(self, model: ModelHandle, request: ChatRequest) -> AsyncGenerator[Event, None]:
        for candidate in range(request.n):
            yield ReplyChunk(text="x", tokens=1, candidate=candidate)
            yield ReplyFinished(finish_reason="stop", candidate=candidate)


async def results(query: Query, engine: Any, model: ModelHandle) -> tuple[list[NodeFinished], float]:
    """Return every reply of the query, inner ones included, and the seconds it took."""

    async def resolve(name: str) -> ModelHandle:
        return model

    replies: list[NodeFinished] = []
    async with aclosing(run_query(query, engine, resolve)) as events:
        async for event in events:
            if isinstance(event, NodeFinished):
                replies.append(event)
            elif isinstance(event, QueryFinished):
                if not event.complete:
                    raise SystemExit("the query failed")
                return replies, event.seconds
    raise AssertionError("a query ends with QueryFinished")


async def overhead() -> None:
    """Print the scheduler's time per request for trees of several shapes."""
    asking = '(g "m" (seq (system "s") "{}"))'
    flat = " ".join(asking.replace("{}", str(number)) for number in range(REQUESTS))
    deep = '"x"'
    for _ in range(20):
        deep = f'(g "m" (cross (system "s") {deep}))'
    shapes = {
        "plus": f"(plus {flat})",
        "seq": f"(seq {flat})",
        "map": f'(map "m" (list {" ".join(f"{chr(34)}{number}{chr(34)}" for number in range(REQUESTS))}))',
        "20 deep": f"(par {' '.join([deep] * (REQUESTS // 20))})",
    }
    model = ModelHandle(name="m", backend="instant")
    for name, text in shapes.items():
        query = read_lisp(text)
        times = [(await results(query, InstantEngine(), model))[1] for _ in range(5)]
        print(f"scheduling, {name}: {statistics.median(times) / REQUESTS * 1000:.3f} ms a request")
    started = time.perf_counter()
    simplify(read_lisp(shapes["plus"]))
    print(f"reading and simplifying {REQUESTS} requests: {(time.perf_counter() - started) * 1000:.0f} ms")


def mutations(count: int) -> None:
    """Read damaged queries. Anything but a tree or an error with a position ends the benchmark."""
    chance = random.Random(0)
    refused, slowest = 0, 0.0
    for _ in range(count):
        text = mutate(chance.choice(SEEDS), chance)
        started = time.perf_counter()
        try:
            read_query(text, {"n": 2, "model": "m"})
        except QuerySyntaxError as error:
            if error.place is None:
                raise SystemExit(f"no place: {text!r}") from error
            refused += 1
        slowest = max(slowest, time.perf_counter() - started)
    print(f"damaged queries: {count} read, {refused} refused with a place, slowest {slowest * 1000:.1f} ms")


async def with_model(file: Path, items: int) -> None:
    """Print the gain of a shared prefix, and of one run for many requests, with a real model."""
    model = to_handle(resolve_local(file))
    words = " ".join(f"Item {number} costs {number * 7 % 90} coins." for number in range(items))
    for n in (1, 4):
        # A unique beginning, so that no run profits from the previous one.
        prompt = Said("user", f"List {n}. {words} Write a story about them.")
        figures = await _fresh(model, Repeat(n, Generate("m", prompt, 0.8, 64)))
        if n == 1:
            alone = figures.prefill_s or 0.0
            print(f"1 candidate: {figures.prompt_tokens} prompt tokens, prefill {alone:.2f} s")
        else:
            together = figures.prefill_s or 0.0
            print(f"{n} candidates: prefill {together:.2f} s in all, ratio {together / alone:.2f}")
    ask = '(g "m" (cross (system "You answer in one short sentence.") "What is {} plus 1?") 0.0 16)'
    asked = [ask.replace("{}", str(number)) for number in range(16)]
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(Settings(), Paths.below(Path(folder)))
        started = time.perf_counter()
        replies, _ = await results(read_lisp(f"(plus {' '.join(asked)})"), engine, model)
        plus = time.perf_counter() - started
        await engine.close()
    started = time.perf_counter()
    for text in asked:
        await _fresh(model, read_lisp(text))
    separate = time.perf_counter() - started
    print(f"16-way plus: {plus:.1f} s with loading, {len(replies)} replies; 16 runs: {separate:.1f} s")


async def _fresh(model: ModelHandle, query: Query) -> Figures:
    """Return the figures of the query in an engine of its own."""
    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(Settings(), Paths.below(Path(folder)))
        try:
            return Figures.of((await results(query, engine, model))[0])
        finally:
            await engine.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--items", type=int, default=110, help="length of the long prompt, ten tokens each")
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}")
    asyncio.run(overhead())
    mutations(options.mutations)
    if options.model:
        asyncio.run(with_model(options.model, options.items))


if __name__ == "__main__":
    main()
