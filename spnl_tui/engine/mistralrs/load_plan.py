"""Chooses the best way to load a model on this machine, and explains it. Without side effects.

By default mistral.rs loads weights as stored and uses all threads it finds. Two bad choices cost most: a
stored format without a fast CPU kernel (4 to 7 times slower) and more threads than usable cores (20 times
slower).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.in_situ import Form, choose_form
from spnl_tui.models.machine import Device, Gpu, Machine
from spnl_tui.models.memory import MemoryEstimate, estimate_memory, memory_on_gpu
from spnl_tui.models.prompts.templates import ChatTemplate
from spnl_tui.models.support import missing_config
from spnl_tui.models.vision import VisionFiles
from spnl_tui.settings import DEFAULT_CONTEXT

Dtype = Literal["auto", "f16", "bf16", "f32"]
SPIN_LIMIT = "CANDLE_BARRIER_POOL_SPIN_LIMIT"
"""The variable for how often an idle engine thread looks for work before it sleeps
(candle-core/src/utils.rs)."""
_SPINS = 200
"""The default, 25,000, takes some milliseconds. If another program wants the core, a spinning thread has used
up its share when work arrives, and all other threads wait for it (benchmarks/beside_others.py)."""
LEAST_CONTEXT = 1024
"""If memory is short, the context is not cut below this many tokens, because a chat needs them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOverrides:
    """The user's choices, named as in the [engine] settings. The plan makes the others."""

    device: Literal["auto", "cpu", "cuda", "metal"] = "auto"
    dtype: Dtype = "auto"
    in_situ_quantization: str = "auto"
    """"auto", "none", or one of mistral.rs's names: "Q8_0", "Q4K", "8"."""
    pad_rows: bool = True
    """True to pad rows if that makes the model faster."""
    threads: int | None = None
    prefix_cache: int = 16
    paged_attention: bool | None = None
    flash_attention: bool | None = None
    """Fixed when mistral.rs was built, so the plan can only report it."""
    max_concurrent: int = 4
    context: int | None = None
    obey_control_words: bool = False
    """True if the model's control words have their effect in texts, too."""
    template: ChatTemplate | None = None
    """The chat template that replaces the model's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """The plan for starting a runner and loading a model.

    `reasons` explain the choices, one short clause for each.
    """

    device: Device
    dtype: Dtype
    threads: int
    in_situ_quantization: str | None
    pad_rows: bool = False
    """True if rows are padded with zeros (models/padding.py)."""
    prefix_cache: int
    window: int | None = None
    """The tokens that some layers attend to; None if no conversation can be longer. Beyond this length the
    prefix cache is not used (runner/windows.py)."""
    paged_attention: bool
    paged_tokens: int | None = None
    """Tokens of all requests and the prefix cache together. Memory for their keys and values is allocated at
    once."""
    max_sequences: int
    """The most requests that run at a time."""
    context: int
    memory: MemoryEstimate
    every_core: bool = False
    """True if the engine's threads take all cores, so that any other computation delays them."""
    context_limit: int | None = None
    """The longest context in tokens that the user wants or memory allows; None if only the model limits
    it."""
    obey_control_words: bool = False
    """True if the model's control words have their effect in texts, too."""
    completion_only: bool = False
    """True if there is no chat template, so the model can only continue texts."""
    chat_template: str | None = None
    """The model's own chat template, if it has one."""
    template: ChatTemplate | None = None
    """The chat template that replaces the model's own."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the runner process, which mistral.rs reads when it starts."""
    config: Mapping[str, object] | None = None
    """The config.json that mistral.rs needs in the model's directory to load it."""
    vision: VisionFiles | None = None
    """The projector of the model; None if it reads only text."""
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [
            self.device.upper() if self.device == "cpu" else self.device,
            f"{self.threads} thread{'s' if self.threads != 1 else ''}",
            f"quantized to {self.in_situ_quantization} while loading"
            if self.in_situ_quantization
            else "as stored",
            f"{self.context:,} tokens of context",
            f"about {self.memory.total / 1e9:.1f} GB",
        ]
        return ", ".join(parts) + (f" ({'; '.join(self.reasons)})" if self.reasons else "")


def plan_load(facts: ModelFacts, machine: Machine, overrides: LoadOverrides | None = None) -> LoadPlan:
    """Return the best way to load this model on this machine, within the user's choices."""
    wish = overrides or LoadOverrides()
    reasons: list[str] = []
    gpu = machine.gpu
    device = _device(gpu, wish, reasons)
    on_cpu = gpu is None
    threads = choose_threads(machine, wish.threads)
    if on_cpu and wish.threads is not None and wish.threads > threads:
        # The engine's threads wait for each other, so one without a core delays all others.
        reasons.append(f"threads cut to the {machine.cores} usable cores")
    context = wish.context or min(facts.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    if facts.context_length and context > facts.context_length:
        reasons.append(f"context cut to the model's {facts.context_length:,} tokens")
        context = facts.context_length
    # Choose fast weights first: they are worth more than a long context.
    if facts.vision is not None:
        # The config of a model that sees images states the width of its rows.
        wish = replace(wish, pad_rows=False)
    form = _form(facts, machine, on_cpu, wish.context or min(context, LEAST_CONTEXT), wish)
    reasons.extend(form.reasons)
    if facts.vision is not None:
        reasons.append("reads images")
    elif facts.blind is not None:
        reasons.append(f"cannot read images: {facts.blind}")

    prefix_cache, window = wish.prefix_cache, None
    outgrown = on_cpu and facts.outgrows_window(wish.context or facts.context_length)
    if prefix_cache and outgrown:
        if facts.chat_template is not None or (wish.template is not None and wish.template.text):
            window = facts.sliding_window
            reasons.append(f"beyond {window:,} tokens (the attention window), each prompt is read again")
        else:
            prefix_cache = 0
            reasons.append(
                f"each prompt is read again (the attention window is {facts.sliding_window:,} tokens)"
            )

    def memory(tokens: int) -> MemoryEstimate:
        if gpu is not None:
            return memory_on_gpu(form.facts, form.in_situ, tokens)
        estimate = estimate_memory(
            form.facts,
            form.in_situ,
            tokens,
            kv_element_bytes=machine.kv_element_bytes,
            prefix_cache=prefix_cache > 0,
            in_steps=prefix_cache > 0 and not outgrown,
            vnni=machine.vnni,
        )
        return replace(estimate, loading=estimate.loading + form.copy_bytes)

    available = machine.memory_available if gpu is None else gpu.memory_available
    wanted = context
    while wish.context is None and context > LEAST_CONTEXT and memory(context).total > available:
        context = max(LEAST_CONTEXT, context // 2)
    if context < wanted:
        reasons.append(f"memory is too small for more than {context:,} tokens of context")
    if wish.flash_attention and on_cpu:
        reasons.append("flash attention needs a GPU")
    paged = not on_cpu and wish.paged_attention is not False
    if wish.paged_attention and on_cpu:
        reasons.append("paged attention needs a GPU")
    tokens = context
    if paged and memory(2 * context).total <= available:
        # Besides one full conversation there are others, running or cached.
        tokens = 2 * context
    return LoadPlan(
        device=device,
        dtype=wish.dtype,
        threads=threads,
        in_situ_quantization=form.in_situ,
        pad_rows=form.pad_rows,
        prefix_cache=prefix_cache,
        window=window,
        paged_attention=paged,
        paged_tokens=tokens if paged else None,
        # On a CPU batching saves no time, and prompts of equal length fail when they are computed together.
        max_sequences=1 if on_cpu else wish.max_concurrent,
        context=context,
        memory=memory(tokens),
        every_core=on_cpu and threads >= machine.cores,
        context_limit=context if paged or wish.context is not None else None,
        obey_control_words=wish.obey_control_words,
        completion_only=facts.chat_template is None and wish.template is None,
        chat_template=facts.chat_template,
        template=wish.template,
        environment=runner_environment(threads, experts=on_cpu and facts.experts > 0),
        config=None if facts.vision else missing_config(form.facts),
        vision=facts.vision,
        reasons=tuple(reasons),
    )


def _device(gpu: Gpu | None, wish: LoadOverrides, reasons: list[str]) -> Device:
    """Return the device that the installed mistral.rs was built for; it accepts no other."""
    if gpu is None:
        if wish.device not in ("auto", "cpu"):
            reasons.append(f"no {wish.device} device was found")
        return "cpu"
    if wish.device not in ("auto", gpu.device):
        reasons.append(f"this mistral.rs was built for {gpu.device}")
    return gpu.device


def _form(facts: ModelFacts, machine: Machine, on_cpu: bool, context: int, wish: LoadOverrides) -> Form:
    in_situ = None if wish.in_situ_quantization == "none" else wish.in_situ_quantization
    if not on_cpu:
        return Form(facts, None if in_situ == "auto" else in_situ)
    return choose_form(facts, machine, context, in_situ=in_situ, pad_rows=wish.pad_rows)


def runner_environment(threads: int, *, experts: bool = False) -> Mapping[str, str]:
    """Return the environment for mistral.rs. `experts` is True for a mixture of experts on a CPU."""
    environment = {"RAYON_NUM_THREADS": str(threads), SPIN_LIMIT: str(_SPINS)}
    if experts:
        # For each prompt, expert weights are widened and copied into gigabytes of newly allocated memory. In
        # pages of 4 KB, allocating takes longer than computing. Only glibc reads this variable.
        environment["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    return environment


def choose_threads(machine: Machine, wanted: int | None = None) -> int:
    """Return the number of threads: `wanted` up to the number of cores, else the fastest number."""
    if wanted is not None:
        return min(wanted, machine.cores)
    threads = machine.fast_cores
    # With more than two cores, leave one to the interface. With two, losing one costs too much.
    return threads - 1 if threads == machine.cores > 2 else threads
