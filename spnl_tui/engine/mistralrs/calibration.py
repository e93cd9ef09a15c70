"""Measures the speed of this machine once with the real engine; repeated only if the machine or engine
changes.

A few small models with random weights run for some seconds. Their times become costs for each weight
(models/fit.Calibration), which predict the speed of any model.
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

from spnl_tui.engine.backend import ModelLoaded, ReplyFinished, RequestFailed
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.processor_share import ProcessorShare
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.errors import RunnerError
from spnl_tui.models.files.gguf_noise import Tensor, byte_letters, write_gguf
from spnl_tui.models.fit import Calibration
from spnl_tui.models.machine import Machine
from spnl_tui.models.request import Sampling

log = logging.getLogger(__name__)

_TYPES = ("Q8_0", "Q4_K", "F16")
"""Measured types. The speeds of others follow from their ratio to one of these, which varies little by
machine."""
_TOKENS = 48
_REPEATS = 5
"""The number of runs, of which the fastest counts: other work on the machine only makes a run slower."""
_LEAST_SHARE = 0.9
"""The least share of processor time that a runner must get for its times to count."""
_SHORT, _MEDIUM, _LONG = 8, 128, 768
"""Prompt lengths in tokens. Decoding follows the short one; the times of the two others are measured."""


@dataclass(frozen=True, slots=True)
class _Shape:
    layers: int
    width: int
    feed_forward: int
    heads: int

    @property
    def weights(self) -> int:
        """The number of weights in the matrices. Keys and values are as wide as queries."""
        return self.layers * (4 * self.width**2 + 3 * self.width * self.feed_forward)


# Wide layers, larger than most caches, so that memory speed counts; one such layer; many small layers.
_WIDE, _FLAT, _DEEP = _Shape(3, 1024, 4096, 8), _Shape(1, 1024, 4096, 8), _Shape(16, 256, 512, 4)


Clock = Callable[[RunnerProcess], float]


def wall_clock(process: RunnerProcess) -> float:
    """Return wall-clock time in seconds. `process` is not used."""
    return time.perf_counter()


async def calibration_for(
    machine: Machine, file: Path, environment: Mapping[str, str], clock: Clock = wall_clock
) -> Calibration:
    """Return the calibration in the file if it is for this machine and engine; else measure now.

    `environment` is that of a load plan, so that the times are those of real use. Measuring keeps all cores
    busy for some seconds, so nothing else should run. A benchmark on a busy machine passes a clock of
    processor time.

    Raises:
        RunnerError: the engine cannot run, or other programs keep the processor busy.
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
    """Return the calibration in this file if it is for this machine and engine; else None."""
    known = read_calibration(file)
    return known if known is not None and known.made_for == _made_for(machine) else None


def _made_for(machine: Machine) -> str:
    vnni = "VNNI" if machine.vnni else "no VNNI"
    return f"{machine.processor}, {machine.cores} cores, {vnni}, mistralrs {version('mistralrs')}"


def read_calibration(file: Path) -> Calibration | None:
    """Return the calibration in this file; None if the file is missing or invalid."""
    try:
        kept = json.loads(file.read_bytes())
        calibration = Calibration(**kept)
        sound = calibration.decode["Q8_0"] > 0 and calibration.prefill["Q8_0"] > 0
        # an older version did not separate the cost of a token from that of the weights
        sound = sound and "token" in kept
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("%s is not a calibration and is replaced: %s", file, error)
        return None
    return calibration if sound else None


def _write(calibration: Calibration, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_text(json.dumps(dataclasses.asdict(calibration), indent=1), "utf-8")
    part.replace(file)


async def _measure(environment: Mapping[str, str], clock: Clock) -> Calibration:
    with tempfile.TemporaryDirectory(prefix="spnl-chat-calibration-") as name:
        folder = Path(name)
        flat = await _run(folder, _FLAT, "Q8_0", (), environment, clock)
        deep = await _run(folder, _DEEP, "Q8_0", (_MEDIUM, _LONG), environment, clock)
        wide = {type: await _run(folder, _WIDE, type, (_MEDIUM,), environment, clock) for type in _TYPES}
    token, layer = _constants(flat.decode_s, wide["Q8_0"].decode_s, deep.decode_s)
    # Attention costs time for each pair of tokens, so it explains why a long prompt takes more time per
    # token.
    more = deep.prefill_s[_LONG] / _LONG - deep.prefill_s[_MEDIUM] / _MEDIUM
    attention = max(0.0, more) / (_DEEP.layers * _DEEP.width * (_LONG - _MEDIUM) / 2)
    constant = token + _WIDE.layers * layer
    return Calibration(
        decode={type: max(run.decode_s - constant, 1e-9) / _WIDE.weights for type, run in wide.items()},
        prefill={type: run.prefill_s[_MEDIUM] / _MEDIUM / _WIDE.weights for type, run in wide.items()},
        token=token,
        layer=layer,
        attention=attention,
    )


def _constants(flat: float, wide: float, deep: float) -> tuple[float, float]:
    """Return the fixed seconds per token and per layer, from the time of one token in the three shapes.

    Each time is token + layers · layer + weights · weight, which gives three equations.
    """
    layers, weights = _WIDE.layers - _FLAT.layers, _WIDE.weights - _FLAT.weights
    more_layers, fewer_weights = _DEEP.layers - _FLAT.layers, _FLAT.weights - _DEEP.weights
    # wide - flat = layers · layer + weights · weight
    # deep - flat = more_layers · layer - fewer_weights · weight
    determinant = more_layers * weights + fewer_weights * layers
    layer = ((deep - flat) * weights + (wide - flat) * fewer_weights) / determinant
    weight = ((wide - flat) * more_layers - (deep - flat) * layers) / determinant
    layer = max(0.0, layer)
    return max(0.0, flat - _FLAT.layers * layer - _FLAT.weights * max(0.0, weight)), layer


@dataclass(frozen=True, slots=True)
class _Run:
    decode_s: float
    """Seconds to decode one token."""
    prefill_s: Mapping[int, float]
    """Seconds to read a prompt, by its number of tokens."""


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
        await _complete(process, _SHORT, 1, clock)
        share = ProcessorShare(process.pid)
        prefill = dict.fromkeys(prompts, float("inf"))
        one = many = float("inf")
        for _ in range(_REPEATS):
            for prompt in prompts:
                prefill[prompt] = min(prefill[prompt], await _complete(process, prompt, 1, clock))
            one = min(one, await _complete(process, _SHORT, 1, clock))
            many = min(many, await _complete(process, _SHORT, _TOKENS, clock))
        if clock is wall_clock:
            check_share(share.so_far())
    finally:
        await process.end()
        file.unlink()
    return _Run(max(many - one, 1e-9) / (_TOKENS - 1), prefill)


def check_share(share: float) -> None:
    """Reject a measurement if the runner got too little processor time.

    Raises:
        RunnerError: the runner got less than nine tenths of its processor time.
    """
    if share < _LEAST_SHARE:
        raise RunnerError(
            "The machine is too busy to be measured",
            f"Other programs left the engine {share:.0%} of its processor time. The result would be wrong.",
            "Close them or wait until they finish, then measure again.",
        )


async def _complete(process: RunnerProcess, prompt_tokens: int, tokens: int, clock: Clock) -> float:
    """Return the seconds until the reply is complete. Chunks would be less exact, because partial characters
    are held back."""
    command = wire.Complete(
        id=process.next_id(),
        # In the synthetic model, one letter is one token.
        prompt="a" * prompt_tokens,
        sampling=Sampling(temperature=0.0, max_tokens=tokens),
    )
    started = clock(process)
    await _ask(process, command)
    return clock(process) - started


async def _ask(process: RunnerProcess, command: wire.Load | wire.Complete) -> wire.Event:
    """Send the command and return the event that ends it.

    Raises:
        RunnerError: the command failed, or the runner ended.
    """
    events = process.subscribe(command.id)
    await process.send(command)
    try:
        while True:
            match event := await events.get():
                case ModelLoaded() | ReplyFinished():
                    return event
                case RequestFailed():
                    raise RunnerError("This machine could not be measured", event.message, event.hint)
                case wire.RunnerEnded():
                    raise RunnerError("This machine could not be measured", event.reason, "Try again later.")
    finally:
        process.unsubscribe(command.id)


def _make_model(file: Path, shape: _Shape, type: str) -> None:
    """Write a llama with random weights. Its vocabulary is 256 bytes, so that its tokenizer and output layer
    cost little."""
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
        # The last token hardly ever ends a reply: among equal logits the lowest token id wins.
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
