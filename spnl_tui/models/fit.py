"""Predicts, before a model is pulled, whether it runs, fits and is fast on a machine, and why.

Without side effects: callers pass the machine (machine.py) and its measured speed (Calibration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.files.not_models import kind_by_architecture, kind_by_header
from spnl_tui.models.in_situ import Form, choose_form
from spnl_tui.models.machine import Gpu, Machine
from spnl_tui.models.memory import MemoryEstimate, memory_on, memory_on_gpu
from spnl_tui.models.prompts.chat_prompt import template_problem
from spnl_tui.models.support import (
    EXPERTS_GATHER,
    EXPERTS_UNPACK,
    GGUF_ARCHITECTURES,
    GGUF_ARCHITECTURES_FAILING,
    GGUF_ARCHITECTURES_UNPROVEN,
    GGUF_ARCHITECTURES_WITH_PROJECTOR,
    GGUF_TOKENIZERS,
    KERNELS,
    NARROW_DECODE,
    NARROW_PREFILL,
    PRE_TOKENIZERS,
    SAFETENSORS_ARCHITECTURES,
    SAFETENSORS_ARCHITECTURES_UNPROVEN,
    after_in_situ,
)

Level = Literal["yes", "maybe", "no"]
_ORDER: tuple[Level, ...] = ("no", "maybe", "yes")
READING_SPEED = 8.0
"""Tokens per second of a reply that is faster than most people read."""


@dataclass(frozen=True, slots=True)
class Part:
    """The answer to one of the verdict's questions, and the reason."""

    level: Level
    words: str


@dataclass(frozen=True, slots=True)
class Speed:
    """Expected tokens per second; None if the machine is not measured or the model cannot run."""

    level: Level
    words: str
    prefill: float | None = None
    """Tokens per second for reading a prompt of PROMPT tokens."""
    decode: float | None = None
    """Tokens per second for writing a reply early in a conversation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The expectation for a model on a machine, at a context length."""

    runs: Part
    fits: Part
    speed: Speed
    memory: MemoryEstimate
    context: int
    in_situ: str | None
    """The type to which the load plan would re-quantize, on a CPU; None for none."""
    pad_rows: bool
    """True if the load plan would pad the rows (models/padding.py)."""
    completion_only: bool
    """True for a base model, which has no chat template and can only continue texts."""
    longest_context: int | None
    """The longest context that fits, in tokens, if it is shorter than wanted."""

    @property
    def level(self) -> Level:
        """The worse of `runs` and `fits`, for the badge. Speed does not count."""
        return min(self.runs.level, self.fits.level, key=_ORDER.index)


LARGE_IMAGE = (1024, 768)
"""The size in pixels of the image that verdicts assume: a photo scaled to 1,024."""
PROMPT = 256
"""The number of prompt tokens that prefill speeds assume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The speed of this machine, measured once with the real engine (engine/mistralrs/calibration.py).

    Costs are seconds per weight and token, by tensor type, with all threads of the load plan.
    """

    decode: Mapping[str, float] = field(default_factory=dict)
    """Has at least "Q8_0"."""
    prefill: Mapping[str, float] = field(default_factory=dict)
    token: float = 0.0
    """Seconds per decoded token, independent of the model."""
    layer: float = 0.0
    """Seconds per layer and decoded token, independent of the layer's width."""
    attention: float = 0.0
    """Seconds for each pair of tokens in a prefill, per head and element of a head."""
    rearranged_q8_0: bool = True
    """True if "Q8_0" was measured with the copy that mistral.rs rearranges for speed (Machine.vnni)."""
    made_for: str = ""
    """The processor, cores and engine version. If one of them changes, a new calibration is needed."""

    def cost(self, type: str, row: int, *, prefill: bool) -> float:
        """Return the seconds per weight of this type, measured or derived from a similar measured type.

        K-quants are derived from Q4_K (for a prefill only those that also have a rearranged copy), others
        from Q8_0 without a rearranged copy.
        """
        measured = self.prefill if prefill else self.decode
        # All floats are widened to 32 bits, so one measurement is valid for all.
        name = "F16" if type in ("F32", "BF16") else type
        kernel = KERNELS.get(type) or KERNELS["F32"]
        slower = 1.0
        if self.rearranged_q8_0:
            slower = NARROW_PREFILL if prefill else NARROW_DECODE
        if type == "Q8_0" and row % 256:
            return measured["Q8_0"] * slower
        if (known := measured.get(name)) is not None:
            return known
        alike = kernel.repacked if prefill else type.endswith("_K")
        if alike and (known := measured.get("Q4_K")) is not None:
            return known * kernel.ratio(prefill=prefill) / KERNELS["Q4_K"].ratio(prefill=prefill)
        narrow = NARROW_PREFILL if prefill else NARROW_DECODE
        return measured["Q8_0"] * slower * kernel.ratio(prefill=prefill) / narrow


def assess(
    facts: ModelFacts,
    machine: Machine,
    context: int,
    calibration: Calibration | None = None,
    *,
    in_situ: str | None = "auto",
    pad_rows: bool = True,
) -> Verdict:
    """Return the verdict on this model, on this machine, with a context of this many tokens.

    `in_situ` is the in-situ quantization that the user chose, None for none. `pad_rows` allows padding rows.
    """
    gpu = machine.gpu
    context = min(context, facts.context_length or context)
    form = (
        Form(facts, None if in_situ == "auto" else in_situ)
        if gpu
        else choose_form(facts, machine, context, in_situ=in_situ, pad_rows=pad_rows)
    )
    runs = _runs(facts)
    memory = _memory(form.facts, machine, gpu, form.in_situ, context)
    fits, longest = _fits(form.facts, machine, gpu, form.in_situ, context, memory)
    return Verdict(
        runs=runs,
        fits=fits,
        speed=_speed(form.facts, gpu, form.in_situ, calibration, runs),
        memory=memory,
        context=context,
        in_situ=form.in_situ,
        pad_rows=form.pad_rows,
        completion_only=facts.chat_template is None,
        longest_context=longest,
    )


# ── does it run ──────────────────────────────────────────────────────────────────────────────────


def _runs(facts: ModelFacts) -> Part:
    problem = load_problem(facts)
    if problem:
        return Part("no", problem)
    unproven = GGUF_ARCHITECTURES_UNPROVEN | SAFETENSORS_ARCHITECTURES_UNPROVEN
    if facts.architecture in unproven:
        return Part("maybe", f"mistral.rs has a loader for {facts.architecture}, but this was not tested")
    if facts.chat_template is not None and (unreadable := template_problem(facts.chat_template)):
        return Part(
            "maybe", f"needs --template chatml or another, because its own cannot be read. {unreadable}"
        )
    if facts.chat_template is None:
        return Part("yes", f"{facts.architecture}, a base model without chat template: it continues text")
    return Part("yes", f"{facts.architecture}, with chat template{_sight(facts)}")


def _sight(facts: ModelFacts) -> str:
    """Return a clause about image input; empty if the model does not support any."""
    if facts.vision is None:
        return f"; it reads only text: {facts.blind}" if facts.blind else ""
    rule = facts.vision.rule
    about = "" if rule.exact else "about "
    return f"; reads images: {about}{rule.image_tokens(*LARGE_IMAGE):,} tokens for one of 1,024 pixels"


def needs_projector(architecture: str) -> str:
    """Return that a model with image input needs its projector."""
    return f"{architecture} is loaded only together with its projector (mmproj)"


def load_problem(facts: ModelFacts) -> str | None:
    """Return why this model cannot be loaded; None if it can or this is unknown."""
    return _gguf_problem(facts) if facts.format == "gguf" else _safetensors_problem(facts)


def _gguf_problem(facts: ModelFacts) -> str | None:
    """Return why mistral.rs would refuse this GGUF, else None. The order is roughly that of its own
    checks."""
    architecture = facts.architecture
    if (kind := kind_by_header(facts.type, architecture)) is not None:
        return f"it is {kind}"
    if architecture in GGUF_ARCHITECTURES_WITH_PROJECTOR and facts.vision is None:
        return f"{needs_projector(architecture)}: {facts.blind or 'its directory has none'}"
    if architecture in GGUF_ARCHITECTURES_FAILING:
        return f"mistral.rs loads {architecture} and then fails at the first request"
    known = GGUF_ARCHITECTURES | GGUF_ARCHITECTURES_UNPROVEN | GGUF_ARCHITECTURES_WITH_PROJECTOR
    if architecture not in known:
        return f"mistral.rs has no loader for the architecture {facts.architecture}"
    if not facts.tensors or all(group.role != "embedding" for group in facts.tensors):
        return "it contains no weights"
    missing = [
        name
        for name, value in {
            "context length": facts.context_length,
            "embedding width": facts.embedding_width,
            "layers": facts.layers,
            "heads": facts.heads,
            "KV heads": facts.kv_heads,
            "vocabulary": facts.vocabulary,
        }.items()
        if not value
    ]
    if missing:
        return f"the header lacks: {', '.join(missing)}"
    refused = sorted(
        {
            group.type
            for group in facts.tensors
            if group.type not in KERNELS
            and not (group.type == "MXFP4" and group.role == "experts" and architecture == "gpt-oss")
        }
    )
    if refused:
        return f"mistral.rs cannot load {', '.join(refused)} tensors; choose a Q4_K_M or Q8_0"
    if facts.defect is not None:
        return facts.defect
    if facts.tokenizer is None:
        return "it contains no tokenizer"
    if facts.tokenizer not in GGUF_TOKENIZERS:
        return f"mistral.rs cannot read its tokenizer, {facts.tokenizer}"
    if facts.tokenizer == "gpt2" and not facts.merges:
        return "its tokenizer has no merges"
    if facts.tokenizer == "gpt2" and facts.pre_tokenizer not in PRE_TOKENIZERS:
        return f"mistral.rs does not know its pre-tokenizer, {facts.pre_tokenizer or 'which is not named'}"
    return None


def _safetensors_problem(facts: ModelFacts) -> str | None:
    if (kind := kind_by_architecture(facts.architecture)) is not None:
        return f"it is {kind}"
    if facts.architecture not in SAFETENSORS_ARCHITECTURES | SAFETENSORS_ARCHITECTURES_UNPROVEN:
        return f"the architecture {facts.architecture} is not supported here"
    if facts.tokenizer is None:
        return "its directory has no tokenizer.json"
    return None


# ── does it fit ──────────────────────────────────────────────────────────────────────────────────


def _memory(
    facts: ModelFacts, machine: Machine, gpu: Gpu | None, in_situ: str | None, context: int
) -> MemoryEstimate:
    if gpu is None:
        return memory_on(machine, facts, in_situ, context)
    return memory_on_gpu(facts, in_situ, context)


def _fits(
    facts: ModelFacts,
    machine: Machine,
    gpu: Gpu | None,
    in_situ: str | None,
    context: int,
    memory: MemoryEstimate,
) -> tuple[Part, int | None]:
    available = gpu.memory_available if gpu else machine.memory_available
    where = f"of {gpu.name}" if gpu else "free"
    told = memory.working > 500_000_000  # mixtures of experts need gigabytes
    program = memory.overhead + (0 if told else memory.working)
    parts = f"weights {_gb(memory.weights)}, program {_gb(program)}, "
    parts += f"reading a prompt {_gb(memory.working)}, " if told else ""
    if memory.kv_cache is None:
        parts += "context unknown"
    else:
        parts += f"{context:,} tokens of context {_gb(memory.kv_cache)}"
    words = f"{_gb(memory.total)} of {_gb(available)} GB {where} ({parts})"
    if memory.peak <= available * 0.95:
        return Part("yes" if memory.kv_cache is not None else "maybe", words), None
    if memory.total <= available * 0.95:
        return Part("maybe", f"{words}; loading may take {_gb(memory.loading)} for a moment"), None
    shorter = _longest_context(facts, machine, gpu, in_situ, context, available * 0.95)
    if shorter is None:
        return Part("no", words), None
    return Part("no", f"{words}; with {shorter:,} tokens of context it fits"), shorter


def _longest_context(
    facts: ModelFacts, machine: Machine, gpu: Gpu | None, in_situ: str | None, context: int, available: float
) -> int | None:
    """Return the longest useful context below `context` that fits, a multiple of 512 tokens; None if none
    fits."""
    # Bisect in steps of 512 tokens: `fitting` always fits, `too_long` never does.
    fitting, too_long = 1, -(-context // 512)
    while too_long - fitting > 1:
        middle = (fitting + too_long) // 2
        if _memory(facts, machine, gpu, in_situ, 512 * middle).peak <= available:
            fitting = middle
        else:
            too_long = middle
    return 512 * fitting if fitting > 1 else None


def _gb(count: float) -> str:
    """Return gigabytes (10⁹ bytes) with two significant digits or one decimal."""
    return f"{count / 1e9:.1f}" if count >= 95_000_000 else f"{count / 1e9:.2f}"


# ── how fast ─────────────────────────────────────────────────────────────────────────────────────


def _speed(
    facts: ModelFacts, gpu: Gpu | None, in_situ: str | None, calibration: Calibration | None, runs: Part
) -> Speed:
    if runs.level == "no":
        return Speed("no", "it does not run")
    if gpu is not None:
        return Speed("maybe", f"on {gpu.name}; speed is not estimated for graphics processors")
    if calibration is None:
        return Speed("maybe", "not known yet: this machine has not been measured")
    decode = 1 / _seconds(facts, in_situ, calibration, prefill=False)
    prefill = 1 / _seconds(facts, in_situ, calibration, prefill=True)
    level: Level = "yes" if decode >= READING_SPEED else "maybe" if decode >= 2 else "no"
    words = f"about {_round(decode)} tokens/s, prompts {_round(prefill)}"
    if facts.vision is not None:
        words += f", an image {facts.vision.rule.image_tokens(*LARGE_IMAGE) / prefill:.0f} s and more"
    return Speed(level, words, prefill, decode)


def _seconds(facts: ModelFacts, in_situ: str | None, calibration: Calibration, *, prefill: bool) -> float:
    """Return the seconds for one token of a reply, or for one token of a prompt of PROMPT tokens."""
    seconds = 0.0 if prefill else calibration.token + calibration.layer * (facts.layers or 0)
    tied = all(group.role != "output" for group in facts.tensors)
    for group in facts.tensors:
        if group.role == "experts":
            used = group.elements * (facts.experts_used / facts.experts if facts.experts else 1.0)
            widened = calibration.cost("F32", group.row, prefill=False)
            seconds += group.elements * EXPERTS_UNPACK * widened / (PROMPT if prefill else 1)
            seconds += used * EXPERTS_GATHER * widened if prefill else 0.0
        elif group.role == "matrix":
            type = after_in_situ(group, in_situ)
            seconds += group.elements * calibration.cost(type, group.row, prefill=prefill)
        elif group.role == "output" or (group.role == "embedding" and tied):
            # The output matrix is needed only for the last token of a prompt.
            type = after_in_situ(group.as_output(), in_situ)
            seconds += (
                group.elements * calibration.cost(type, group.row, prefill=False) / (PROMPT if prefill else 1)
            )
    if prefill and facts.heads and facts.key_width and facts.layers:
        seconds += calibration.attention * facts.layers * facts.heads * facts.key_width * PROMPT / 2
    return max(seconds, 1e-9)


def _round(speed: float) -> str:
    """Return the speed with two significant digits, because estimates are not more exact."""
    if speed < 10:
        return f"{speed:.2g}"
    return f"{round(speed, 2 - len(str(int(speed)))):,.0f}"
