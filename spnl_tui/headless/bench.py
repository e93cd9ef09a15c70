"""`spnl-chat bench`: how fast a model is on this machine, as it is planned and as it is stored."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass

from spnl_tui.engine import protocol as wire
from spnl_tui.engine.load_plan import LoadPlan
from spnl_tui.engine.service import Engine
from spnl_tui.errors import RequestError
from spnl_tui.headless.output import OK, Transient
from spnl_tui.headless.pulling import model_for
from spnl_tui.headless.tables import Column, print_table
from spnl_tui.models.local import LocalModel
from spnl_tui.models.request import Message, Sampling
from spnl_tui.services import Services, load_planner, make_engine
from spnl_tui.settings import Settings
from spnl_tui.text import in_bytes

PREFILLS = (128, 512, 2048)
"""Prompt lengths in tokens, about."""
_DECODE_TOKENS = 128
_WORD_TOKENS = 1.35
"""Tokens of a numbered word in most vocabularies: the lengths that come out are printed, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one way of loading gives."""

    name: str
    plan: str
    load_s: float
    ttft_cold_s: float
    """Of a short prompt, the first after the load."""
    ttft_warm_s: float
    """Of the next turn of the same conversation."""
    prefill_tokens_per_s: dict[int, float]
    """By prompt length as the engine counted it."""
    decode_tokens_per_s: float
    memory_bytes: int


async def bench(services: Services, *, json_: bool) -> int:
    """Measure the model as planned, and as stored if that is another way, and print both."""
    model = await model_for(services)
    settings = services.settings
    planned = await load_planner(settings)(model)
    ways: list[tuple[str, Settings]] = [("planned", settings)]
    if planned.in_situ_quantization is not None:
        engine = dataclasses.replace(settings.engine, in_situ_quantization="none")
        ways.append(("as stored", dataclasses.replace(settings, engine=engine)))
    status = Transient()
    results = []
    try:
        for name, way in ways:
            engine_service = make_engine(way, services.paths)
            try:
                results.append(
                    await _measure(name, engine_service, model, await load_planner(way)(model), status)
                )
            finally:
                await engine_service.close()
    finally:
        status.clear()
    if json_:
        rows = [dataclasses.asdict(result) for result in results]
        print(json.dumps({"model": model.name, "results": rows}, ensure_ascii=False))
    else:
        for result in results:
            print(f"{result.name}: {result.plan}", file=sys.stderr)
        print_table(*_table(results))
    return OK


async def _measure(
    name: str, engine: Engine, model: LocalModel, plan: LoadPlan, status: Transient
) -> Figures:
    status.show(f"{name}: loading…")
    async with aclosing(engine.load(model)) as events:
        async for event in events:
            if isinstance(event, wire.RequestFailed):
                raise RequestError(event.title, event.message, event.hint)
            if isinstance(event, wire.ModelLoaded):
                load_s = event.seconds
    status.show(f"{name}: decoding…")
    messages = [Message("user", "Write a long story about a lighthouse and its keeper.")]
    text, first = await _ask(engine, model, messages, _DECODE_TOKENS)
    messages += [Message("assistant", text), Message("user", "Go on.")]
    _, second = await _ask(engine, model, messages, 8)
    prefill = {}
    for tokens in PREFILLS:
        if tokens + _DECODE_TOKENS > plan.context:
            continue
        status.show(f"{name}: reading {tokens:,} tokens…")
        # Each begins differently, so that the prefix cache has nothing of it.
        words = " ".join(f"{tokens}x{n}" for n in range(int(tokens / _WORD_TOKENS / 4)))
        _, end = await _ask(engine, model, [Message("user", words)], 1)
        assert end.timing.prefill_s
        prefill[end.usage.prompt_tokens] = end.usage.prompt_tokens / end.timing.prefill_s
    assert first.timing.ttft_s is not None
    assert second.timing.ttft_s is not None
    (loaded,) = await asyncio.to_thread(engine.loaded)
    return Figures(
        name=name,
        plan=str(plan),
        load_s=load_s,
        ttft_cold_s=first.timing.ttft_s,
        ttft_warm_s=second.timing.ttft_s,
        prefill_tokens_per_s=prefill,
        decode_tokens_per_s=first.timing.decode_tokens_per_s or 0.0,
        memory_bytes=loaded.memory_bytes,
    )


async def _ask(
    engine: Engine, model: LocalModel, messages: list[Message], tokens: int
) -> tuple[str, wire.ReplyFinished]:
    text = ""
    sampling = Sampling(temperature=0, max_tokens=tokens)
    async with aclosing(engine.generate_chat(model, messages, sampling)) as events:
        async for event in events:
            if isinstance(event, wire.ReplyChunk):
                text += event.text
            elif isinstance(event, wire.RequestFailed):
                raise RequestError(event.title, event.message, event.hint)
            elif isinstance(event, wire.ReplyFinished):
                return text, event
    raise AssertionError("a request ends in ReplyFinished or RequestFailed")


def _table(results: list[Figures]) -> tuple[list[Column], list[tuple[str, ...]]]:
    columns = [Column("", least=10), *(Column(result.name.upper(), right=True) for result in results)]
    rows = [
        ("load", *(f"{r.load_s:.2f} s" for r in results)),
        ("TTFT, cold", *(f"{r.ttft_cold_s:.2f} s" for r in results)),
        ("TTFT, next turn", *(f"{r.ttft_warm_s:.2f} s" for r in results)),
        *(
            (
                f"prefill, {tokens:,} tokens",
                *(f"{r.prefill_tokens_per_s[tokens]:.0f} tokens/s" for r in results),
            )
            for tokens in results[0].prefill_tokens_per_s
        ),
        ("decode", *(f"{r.decode_tokens_per_s:.1f} tokens/s" for r in results)),
        ("memory", *(in_bytes(r.memory_bytes) for r in results)),
    ]
    return columns, rows
