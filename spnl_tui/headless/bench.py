"""`spnl-chat bench`: how fast a model is on this machine, as planned, as stored, and with llama.cpp."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spnl_tui.engine.backend import (
    Backend,
    ChatRequest,
    CompletionRequest,
    ModelHandle,
    ModelLoaded,
    Request,
    RequestFailed,
)
from spnl_tui.engine.reply import Reply, collect
from spnl_tui.errors import RequestError
from spnl_tui.headless.chosen_model import model_for
from spnl_tui.headless.output import OK, Transient, print_json
from spnl_tui.headless.tables import print_table
from spnl_tui.load_planning import LoadSummary, summarize_load
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from spnl_tui.services import Services, make_engine
from spnl_tui.settings import Settings
from spnl_tui.tables import Column
from spnl_tui.text import in_bytes, plain

PREFILLS = (128, 512, 2048)
"""The approximate prompt lengths in tokens."""
_DECODE_TOKENS = 128
_STORY = "Write a long story about a lighthouse and its keeper."
_GO_ON = "Go on."
_WORD_TOKENS = 1.35
"""The tokens of a numbered word in most vocabularies. The measured lengths are printed, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one way to load the model."""

    name: str
    plan: str
    load_s: float
    ttft_cold_s: float
    """For a short prompt, the first after the load."""
    ttft_warm_s: float
    """For the next turn of the same conversation."""
    prefill_tokens_per_s: dict[int, float]
    """By the prompt length that the engine counted."""
    decode_tokens_per_s: float
    memory_bytes: int


async def bench(services: Services, *, against: str | None = None, json_: bool) -> int:
    """Measure the model as planned, and as stored if that differs, and print both.

    `against` is "llama.cpp" to measure llama.cpp as well.
    """
    python = llama_python() if against else None
    model = await model_for(services)
    status = Transient()
    try:
        results = [
            result async for result in measured(services.settings, services.paths, model, status, python)
        ]
    finally:
        status.clear()
    if json_:
        rows = [dataclasses.asdict(result) for result in results]
        print_json({"model": model.name, "results": rows})
    else:
        for result in results:
            print(f"{result.name}: {result.plan}", file=sys.stderr)
        print_table(*_table(results))
    return OK


def llama_python() -> str:
    """Return this interpreter if it has llama-cpp-python.

    Raises:
        RequestError: llama-cpp-python is not installed.
    """
    if importlib.util.find_spec("llama_cpp") is None:
        raise RequestError(
            "llama.cpp is not here",
            f"llama-cpp-python is not installed for {sys.executable}.",
            "Install it there: pip install llama-cpp-python (it is built, with CMake and a C++ compiler).",
        )
    return sys.executable


async def measured(
    settings: Settings,
    paths: Paths,
    model: ModelHandle,
    status: Transient,
    llama: str | None = None,
    prefills: Sequence[int] = PREFILLS,
) -> AsyncIterator[Figures]:
    """Return the figures of each way to run the model. `llama` is an interpreter that has llama-cpp-python.

    Raises:
        RequestError: one of them does not work.
    """
    planned = await summarize_load(settings, model)
    ways = [("planned", settings)]
    if planned.converts:
        engine = dataclasses.replace(settings.engine, in_situ_quantization="none", pad_rows=False)
        ways.append(("as stored", dataclasses.replace(settings, engine=engine)))
    for name, way in ways:
        plan = await summarize_load(way, model)
        service = make_engine(way, paths)
        try:
            yield await _measure(name, service, model, plan, status, prefills)
        finally:
            await service.close()
    if llama is not None:
        status.show("llama.cpp…")
        yield await _measure_llama(llama, model, planned, prefills)


async def _measure_llama(
    python: str, model: ModelHandle, plan: LoadSummary, prefills: Sequence[int]
) -> Figures:
    if plan.gguf is None:
        raise RequestError(
            "llama.cpp cannot run this model", f"{model.name} is safetensors.", "Choose a GGUF."
        )
    wish = {
        "path": str(plan.gguf),
        "threads": plan.threads,
        "context": plan.context,
        "story": _STORY,
        "go_on": _GO_ON,
        "tokens": _DECODE_TOKENS,
        "prompts": [_words(tokens) for tokens in prefills if tokens + _DECODE_TOKENS <= plan.context],
    }
    process = await asyncio.create_subprocess_exec(
        # -P keeps this directory's modules out of the import path.
        *(python, "-P", str(Path(__file__).with_name("bench_llama.py")), json.dumps(wish)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise RequestError("llama.cpp could not run this model", plain(" ".join(last)), "Leave it out.")
    figures = json.loads(out)
    return Figures(
        name="llama.cpp",
        plan=f"llama-cpp-python {figures.pop('version')}, {plan.threads} threads",
        prefill_tokens_per_s={int(n): speed for n, speed in figures.pop("prefill_tokens_per_s").items()},
        **figures,
    )


async def _measure(
    name: str,
    engine: Backend,
    model: ModelHandle,
    plan: LoadSummary,
    status: Transient,
    prefills: Sequence[int],
) -> Figures:
    status.show(f"{name}: loading…")
    async with aclosing(engine.load(model)) as events:
        async for event in events:
            if isinstance(event, RequestFailed):
                raise RequestError(event.title, event.message, event.hint)
            if isinstance(event, ModelLoaded):
                load_s = event.seconds
    status.show(f"{name}: decoding…")
    ask = partial(_ask, engine, model, plan)
    messages = [Message("user", _STORY)]
    first = await ask(messages, _DECODE_TOKENS)
    messages += [Message("assistant", first.text), Message("user", _GO_ON)]
    second = await ask(messages, 8)
    memory = _memory(engine)
    prefill = {}
    for tokens in prefills:
        if tokens + _DECODE_TOKENS > plan.context:
            continue
        status.show(f"{name}: reading {tokens:,} tokens…")
        end = await ask([Message("user", _words(tokens))], 1)
        assert end.timing.prefill_s is not None
        assert end.usage is not None
        prefill[end.usage.prompt_tokens] = end.usage.prompt_tokens / end.timing.prefill_s
        # A runner that has grown is renewed while it is idle, so it may be missing or small at this moment.
        memory = max(memory, _memory(engine))
    return Figures(
        name=name,
        plan=plan.text,
        load_s=load_s,
        ttft_cold_s=_first_token_s(first),
        ttft_warm_s=_first_token_s(second),
        prefill_tokens_per_s=prefill,
        decode_tokens_per_s=first.timing.decode_tokens_per_s or 0.0,
        memory_bytes=memory,
    )


def _memory(engine: Backend) -> int:
    return sum(loaded.memory_bytes for loaded in engine.loaded())


def _first_token_s(reply: Reply) -> float:
    """Return the seconds to the first token, even an invisible one."""
    seconds = reply.timing.ttft_s if reply.timing.ttft_s is not None else reply.timing.prefill_s
    assert seconds is not None
    return seconds


def _words(tokens: int) -> str:
    """Return a prompt of about this many tokens.

    Each begins differently, so that no prefix cache serves it.
    """
    return " ".join(f"{tokens}x{n}" for n in range(int(tokens / _WORD_TOKENS / 4)))


async def _ask(
    engine: Backend, model: ModelHandle, plan: LoadSummary, messages: list[Message], tokens: int
) -> Reply:
    """Return the reply; from a base model, the text that follows the messages."""
    sampling = Sampling(temperature=0, max_tokens=tokens)
    if plan.completion_only:
        prompt = "".join(message.model_text for message in messages)
        asked: Request = CompletionRequest(inputs=(prompt,), sampling=sampling)
    else:
        asked = ChatRequest(messages=messages, sampling=sampling)
    return await collect(engine, model, asked)


def _table(results: list[Figures]) -> tuple[list[Column], list[tuple[str, ...]]]:
    columns = [Column("", least=10), *(Column(result.name.upper(), right=True) for result in results)]
    rows = [
        ("load", *(f"{r.load_s:.2f} s" for r in results)),
        ("TTFT, cold", *(f"{r.ttft_cold_s:.2f} s" for r in results)),
        ("TTFT, next turn", *(f"{r.ttft_warm_s:.2f} s" for r in results)),
        *(
            (
                f"prefill, {tokens:,} tokens",
                # Where templates and tokenizers differ by a few tokens, the lengths do, too.
                *(f"{list(r.prefill_tokens_per_s.values())[at]:.0f} tokens/s" for r in results),
            )
            for at, tokens in enumerate(results[0].prefill_tokens_per_s)
        ),
        ("decode", *(f"{r.decode_tokens_per_s:.1f} tokens/s" for r in results)),
        ("memory", *(in_bytes(r.memory_bytes) for r in results)),
    ]
    return columns, rows
