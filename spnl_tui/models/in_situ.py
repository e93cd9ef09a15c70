"""Chooses the fastest form of a model on a CPU: as stored, re-quantized while loading, or with padded rows.

Measured (docs/models.md): Q4_1, Q5_0, Q5_1 and Q8_1 decode 7 to 9 times slower than Q8_0, and read prompts 40
times slower; Q4_0 decodes well but reads prompts 8 times slower; floats are half as fast and four times as
large. Quantizing takes 4 to 20 ns of one thread for each weight, once per load. Q8_0 in rows that are not
multiples of 256 reads prompts 8 times slower; padding them takes 2 ns for each weight (models/padding.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.machine import Machine
from spnl_tui.models.memory import memory_on
from spnl_tui.models.padding import UNIT, find_padding, padded_facts
from spnl_tui.models.support import KERNELS, after_in_situ, quantizable

_SLOW_DECODE, _SLOW_PREFILL = 1.5, 5.0
"""Factors by which a type may be slower than Q8_0 before re-quantizing pays."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form in which a CPU computes a model."""

    facts: ModelFacts
    """The model's facts, with padded rows if they are padded."""
    in_situ: str | None
    """The type to which the weights are re-quantized; None if they stay as stored."""
    pad_rows: bool = False
    reasons: tuple[str, ...] = ()
    """Short reasons for the user."""

    @property
    def copy_bytes(self) -> int:
        """Bytes of the padded copy, which stays in memory until the model is loaded."""
        return sum(group.bytes for group in self.facts.tensors) if self.pad_rows else 0


def choose_form(
    facts: ModelFacts,
    machine: Machine,
    context: int,
    *,
    in_situ: str | None = "auto",
    pad_rows: bool = True,
) -> Form:
    """Return the fastest form that fits into this machine's memory with this context.

    `in_situ` is the in-situ quantization that the user chose, None for none. Without `pad_rows`, rows are not
    padded.
    """
    form = _requantized(facts, machine, context, in_situ)
    padding = find_padding(facts) if pad_rows and machine.avx2 else None
    if padding is None:
        return form
    padded = padded_facts(facts, padding)
    wide = _requantized(padded, machine, context, in_situ, padded=True)
    if not all(
        _is_rearranged(after_in_situ(replace(group, row=UNIT), wide.in_situ), machine)
        for group in facts.tensors
        if group.role == "matrix" and group.row % UNIT
    ):
        return form
    estimate = memory_on(machine, padded, wide.in_situ, context)
    why = f"rows padded from {padding.width.before:,} to {padding.width.after:,}"
    wide = Form(padded, wide.in_situ, True, (*wide.reasons, why))
    return form if estimate.peak + wide.copy_bytes > machine.memory_available else wide


def _requantized(
    facts: ModelFacts, machine: Machine, context: int, in_situ: str | None, *, padded: bool = False
) -> Form:
    if in_situ != "auto":
        return Form(facts, in_situ)
    choice, why = choose_in_situ(facts, machine, context, padded=padded)
    return Form(facts, choice, reasons=(why,) if choice is not None or "memory" in why else ())


def _is_rearranged(type: str, machine: Machine) -> bool:
    kernel = KERNELS.get(type)
    return kernel is not None and kernel.repacked > 0 and (type != "Q8_0" or machine.vnni)


def choose_in_situ(
    facts: ModelFacts, machine: Machine, context: int, *, padded: bool = False
) -> tuple[str | None, str]:
    """Return the type to re-quantize to (None for none) and a short reason.

    mistral.rs re-quantizes every matrix, even those that are fast as stored. So the choice is the fastest
    type that is as precise as the most precise matrix and fits with this context. A `padded` model is small
    and loses most by rounding again, so it gets the most precise fast type.
    """
    touched = [group for group in facts.tensors if quantizable(group) and group.type in KERNELS]
    # Small matrices, such as expert routers, are stored as floats in every file and hardly affect the speed.
    total = sum(group.elements for group in touched) or 1
    touched = [group for group in touched if group.elements > 0.02 * total]
    slow = [
        group
        for group in touched
        if KERNELS[group.type].decode > _SLOW_DECODE or KERNELS[group.type].prefill > _SLOW_PREFILL
    ]
    if sum(group.elements for group in slow) < 0.1 * total:
        return None, "fast as it is stored"
    why = f"{'/'.join(sorted({group.type for group in slow}))} is slow here"
    # A tied embedding is also the output matrix, and that is re-quantized.
    heads = (
        []
        if any(group.role == "output" for group in facts.tensors)
        else [group for group in facts.tensors if group.role == "embedding"]
    )
    finest = max(8 * group.bytes / group.elements for group in touched + heads)
    if sum(group.elements for group in touched if group.row % UNIT) > (0 if padded else 0.1 * total):
        wanted: tuple[str, ...] = ("Q8_0",)
        why += "" if padded else ", and its rows fit no K-quant"
    elif padded:
        wanted = ("Q8_0",) if machine.vnni or finest > 6.6 else ("Q6K",)
    elif finest <= 5.0:
        wanted = ("Q4K",)
    elif finest <= 6.6:
        wanted = ("Q6K", "Q5K")
    else:
        wanted = ("Q8_0", "Q5K")
    for name in wanted:
        if memory_on(machine, facts, name, context).peak <= machine.memory_available:
            return name, why
    return None, f"{why}, but there is too little memory to re-quantize"
