"""How fast this machine computes: measured once with the real engine, and kept until either changes.

A few small models of noise are loaded and run, some seconds in all. What they took is turned into costs for
each weight (models/fit.Calibration), from which the speed of any model follows.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spnl_tui.engine import protocol as wire
from spnl_tui.engine.process import RunnerProcess
from spnl_tui.errors import RunnerError
from spnl_tui.models.fit import Calibration
from spnl_tui.models.gguf_noise import Tensor, byte_letters, write_gguf
from spnl_tui.models.machine import Machine
from spnl_tui.models.request import Sampling

log = logging.getLogger(__name__)

_TYPES = ("Q8_0", "Q4_K", "F16")
"""Measured; the others follow by their ratio to one of these, which differs little between machines."""
_TOKENS = 24
_REPEATS = 5
"""The fastest counts: whatever else the machine does only makes a run slower."""


@dataclass(frozen=True, slots=True)
class _Shape:
    layers: int
    width: int
    feed_forward: int
    heads: int

    @property
    def weights(self) -> int:
        """Of the matrices; keys and values are as wide as queries."""
        return self.layers * (4 * self.width**2 + 3 * self.width * self.feed_forward)


# Larger than most caches, so that memory's speed is in it; and one of many small layers.
_WIDE, _DEEP = _Shape(3, 1024, 4096, 8), _Shape(16, 256, 512, 4)


Clock = Callable[[RunnerProcess], float]


def wall_clock(process: RunnerProcess) -> float:
    """Seconds as they pass, whatever the process does."""
    return time.perf_counter()


async def calibration_for(
    machine: Machine, file: Path, environment: Mapping[str, str], clock: Clock = wall_clock
) -> Calibration:
    """The calibration of this machine: from the file if it is for this machine and engine, else measured now.

    `environment` is the load plan's, so that what is measured is what users get. Measuring takes some seconds
    of all cores: do it while nothing else is asked of them. (A benchmark on a busy machine counts processor
    time instead, with a clock of its own.)

    Raises:
        RunnerError: the engine could not be run.
    """
    known = await asyncio.to_thread(kept_calibration, machine, file)
    if known is not None:
        return known
    measured = dataclasses.replace(
        await _measure(environment, clock), rearranged_q8_0=machine.vnni, made_for=_made_for(machine)
    )
    await asyncio.to_thread(_write, measured, file)
    return measured


def kept_calibration(machine: Machine, file: Path) -> Calibration | None:
    """The calibration in this file, if it is for this machine and this engine."""
    known = read_calibration(file)
    return known if known is not None and known.made_for == _made_for(machine) else None


def _made_for(machine: Machine) -> str:
    vnni = "VNNI" if machine.vnni else "no VNNI"
    return f"{machine.processor}, {machine.cores} cores, {vnni}, mistralrs {version('mistralrs')}"


def read_calibration(file: Path) -> Calibration | None:
    """What was kept in this file; None if there is nothing, or nothing sensible."""
    try:
        kept = json.loads(file.read_bytes())
        calibration = Calibration(**kept)
        sound = calibration.decode["Q8_0"] > 0 and calibration.prefill["Q8_0"] > 0
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s is no calibration, and is made anew: %s", file, error)
        return None
    return calibration if sound else None


def _write(calibration: Calibration, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_text(json.dumps(dataclasses.asdict(calibration), indent=1), "utf-8")
    part.replace(file)


async def _measure(environment: Mapping[str, str], clock: Clock) -> Calibration:
    decode: dict[str, float] = {}
    prefill: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="spnl-chat-calibration-") as folder:
        short, long = 128, 768
        deep = await _run(Path(folder), _DEEP, "Q8_0", (short, long), environment, clock)
        for type in _TYPES:
            wide = await _run(Path(folder), _WIDE, type, (short,), environment, clock)
            decode[type] = wide.decode_s / _WIDE.weights
            prefill[type] = wide.prefill_s[short] / short / _WIDE.weights
        # What is left of the small layers' time once their weights are paid for; and what a longer prompt
        # takes more than its length explains is due to attention, which goes over pairs of tokens.
        layer = max(0.0, deep.decode_s - _DEEP.weights * decode["Q8_0"]) / _DEEP.layers
        more = deep.prefill_s[long] / long - deep.prefill_s[short] / short
        attention = max(0.0, more) / (_DEEP.layers * _DEEP.width * (long - short) / 2)
    return Calibration(decode=decode, prefill=prefill, layer=layer, attention=attention)


@dataclass(frozen=True, slots=True)
class _Run:
    decode_s: float
    """For one token."""
    prefill_s: Mapping[int, float]
    """For a prompt of so many tokens."""


async def _run(
    folder: Path,
    shape: _Shape,
    type: str,
    prompts: tuple[int, ...],
    environment: Mapping[str, str],
    clock: Clock,
) -> _Run:
    file = folder / f"{type}.gguf"
    await asyncio.to_thread(_make_model, file, shape, type)
    process = await RunnerProcess.spawn(environment)
    try:
        await _ask(
            process,
            wire.Load(
                id=process.next_id(),
                format="gguf",
                directory=str(folder),
                files=(file.name,),
                prefix_cache=0,
                chat_template=wire.RAW_TEMPLATE,
            ),
        )
        await _complete(process, 8, 1, clock)
        one = dict.fromkeys(prompts, float("inf"))
        many = float("inf")
        for _ in range(_REPEATS):
            for prompt in prompts:
                one[prompt] = min(one[prompt], await _complete(process, prompt, 1, clock))
            many = min(many, await _complete(process, prompts[0], _TOKENS, clock))
    finally:
        await process.end()
        file.unlink()
    return _Run(max(many - one[prompts[0]], 1e-9) / (_TOKENS - 1), one)


async def _complete(process: RunnerProcess, prompt_tokens: int, tokens: int, clock: Clock) -> float:
    """Seconds until the reply is complete. Chunks tell less: text of half a character is held back."""
    command = wire.Complete(
        id=process.next_id(),
        # One letter is one token of the model below, so the length is known without asking.
        prompt="a" * prompt_tokens,
        sampling=Sampling(temperature=0.0, max_tokens=tokens),
    )
    started = clock(process)
    await _ask(process, command)
    return clock(process) - started


async def _ask(process: RunnerProcess, command: wire.Load | wire.Complete) -> wire.Event:
    """Send the command and wait for its end.

    Raises:
        RunnerError: it failed, or the runner ended.
    """
    events = process.subscribe(command.id)
    await process.send(command)
    try:
        while True:
            match event := await events.get():
                case wire.ModelLoaded() | wire.ReplyFinished():
                    return event
                case wire.RequestFailed():
                    raise RunnerError("This machine could not be measured", event.message, event.hint)
                case wire.RunnerEnded():
                    raise RunnerError("This machine could not be measured", event.reason, "Try again later.")
    finally:
        process.unsubscribe(command.id)


def _make_model(file: Path, shape: _Shape, type: str) -> None:
    """A llama of noise whose vocabulary is the 256 bytes, so that its tokenizer and output cost nothing."""
    tokens = [*byte_letters(), "<|end|>", *(f"t{number}" for number in range(63))]
    metadata: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.context_length": 4096,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": ["t 1"],
        # The last token: equal logits are broken by the lowest number, so it hardly ever ends a reply.
        "tokenizer.ggml.eos_token_id": len(tokens) - 1,
    }
    width, feed_forward = shape.width, shape.feed_forward
    tensors = [
        Tensor("token_embd.weight", (width, len(tokens)), "Q8_0"),
        Tensor("output_norm.weight", (width,), "F32", 1.0),
    ]
    for layer in range(shape.layers):
        name = f"blk.{layer}."
        tensors += [Tensor(f"{name}{norm}_norm.weight", (width,), "F32", 1.0) for norm in ("attn", "ffn")]
        tensors += [
            Tensor(f"{name}attn_{part}.weight", (width, width), type) for part in ("q", "k", "v", "output")
        ]
        tensors += [
            Tensor(f"{name}ffn_{part}.weight", (width, feed_forward), type) for part in ("gate", "up")
        ]
        tensors.append(Tensor(f"{name}ffn_down.weight", (feed_forward, width), type))
    write_gguf(file, metadata, tensors)
