"""Predicts, before anything is pulled, how every quantization of a model would run on this machine.

Only one header is read. The facts of the other quantizations are derived from it (models/expected_facts.py)
until their own headers are needed. Even without a header, the hub's metadata excludes many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from spnl_tui.hub.catalog import Card, Catalog, RepositoryDetails
from spnl_tui.models.expected_facts import expected_facts
from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.files.local import LocalModel, read_local_facts
from spnl_tui.models.files.not_models import kind_by_header
from spnl_tui.models.fit import (
    READING_SPEED,
    Calibration,
    Level,
    Part,
    Speed,
    Verdict,
    assess,
    needs_projector,
)
from spnl_tui.models.machine import Machine
from spnl_tui.models.quantization import SAFETENSORS, Quantization, choose
from spnl_tui.models.support import (
    GGUF_ARCHITECTURES,
    GGUF_ARCHITECTURES_FAILING,
    GGUF_ARCHITECTURES_UNPROVEN,
    GGUF_ARCHITECTURES_WITH_PROJECTOR,
)

Basis = Literal["header", "estimate", "hub"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """The prediction for a quantization, and the data that it is based on."""

    basis: Basis
    """The source of the facts: its own header, an estimate from another header, or only the hub's
    metadata."""
    runs: Part
    fits: Part
    speed: Speed
    verdict: Verdict | None = None
    """The verdict; None without a header."""
    facts: ModelFacts | None = None
    base: bool = False
    """True if it has no chat template, according to its header or the hub."""
    guessed: bool = False
    """True if the reason why it does not run was only inferred from its name."""

    @property
    def bits_per_weight(self) -> float | None:
        """Return the stored bits per parameter; None without a header."""
        return None if self.facts is None else self.facts.bits_per_weight

    @property
    def level(self) -> Level:
        """Return the worse of `runs` and `fits`."""
        levels = (self.runs.level, self.fits.level)
        return "no" if "no" in levels else "maybe" if "maybe" in levels else "yes"

    @property
    def badge(self) -> str:
        """Return the verdict in at most twelve characters; "~" marks an estimate."""
        return f"~{self._word()}" if self.is_guess else self._word()

    @property
    def is_guess(self) -> bool:
        """True if the quantization's own header may lead to another result."""
        return self.basis == "estimate" or (self.basis == "hub" and self.guessed)

    def _word(self) -> str:
        if self.runs.level == "no":
            return "unsupported"
        if self.fits.level == "no":
            return "less context" if self.verdict and self.verdict.longest_context else "too large"
        if self.verdict is None:
            return "base model" if self.base else "not known"
        if self.runs.level == "maybe":
            return "untried"
        if self.fits.level == "maybe":
            return "tight"
        return "base model" if self.base else "fits"

    @property
    def speed_badge(self) -> str:
        """Return the expected tokens per second of a reply; empty if unknown or if the model cannot run."""
        if self.runs.level == "no":
            return ""
        if self.speed.decode is None:
            return "unknown"
        slow = ", slow" if self.speed.decode < READING_SPEED else ""
        # Show two digits, because estimates are not more precise.
        return f"~{float(f'{self.speed.decode:.2g}'):g}/s{slow}"

    @property
    def why(self) -> str:
        """Return the most important reason: why the model does not run, or else how it fits."""
        return self.runs.words if self.runs.level == "no" else self.fits.words

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return all parts of the verdict, one sentence each."""
        runs = {"yes": "Runs", "maybe": "May run", "no": "Does not run"}[self.runs.level]
        fits = {"yes": "Fits", "maybe": "May fit", "no": "Does not fit"}[self.fits.level]
        if self.is_guess:
            runs, fits = (
                f"Probably {words[0].lower()}{words[1:]}" if not words.startswith("May") else words
                for words in (runs, fits)
            )
        found = [f"{runs}: {self.runs.words}."]
        if self.runs.level != "no":
            found += [f"{fits}: {self.fits.words}.", f"Speed: {self.speed.words}."]
        if self.basis == "estimate":
            found.append("Estimated from the header of another quantization.")
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The machine and the settings that verdicts assume."""

    machine: Machine
    context: int
    """The requested context length in tokens."""
    calibration: Calibration | None = None
    in_situ: str | None = "auto"
    """The setting: "auto", None for none, or mistral.rs's name of a type."""
    pad_rows: bool = True
    """True to allow padding rows."""


@dataclass(slots=True)
class Headers:
    """The headers of a repository that have been read."""

    catalog: Catalog
    details: RepositoryDetails
    facts: dict[str, ModelFacts] = field(default_factory=dict)
    """The facts by label."""

    async def read(self, label: str) -> ModelFacts:
        """Return the facts from this quantization's own header, which is read only once.

        Raises:
            HubError: the hub rejects the request, fails or cannot be reached.
            ModelFileError: the header is damaged.
        """
        if label not in self.facts:
            quantization = next(q for q in self.details.choices if q.label == label)
            named = None if label == SAFETENSORS else quantization
            self.facts[label] = await self.catalog.facts(self.details, named)
        return self.facts[label]

    def appraise(self, conditions: Conditions) -> dict[str, Appraisal]:
        """Return the appraisal of each quantization, by label."""
        return {q.label: self._appraise(q, conditions) for q in self.details.choices}

    def _appraise(self, quantization: Quantization, conditions: Conditions) -> Appraisal:
        if (known := self.facts.get(quantization.label)) is not None:
            return appraise(known, conditions)
        for facts in self.facts.values():
            expected = expected_facts(facts, quantization)
            if expected is not None:
                found = _estimated(appraise(expected, conditions), quantization)
                # If the file's size contradicts the facts, it is another model, or its label does not show
                # its types.
                if _agrees(expected, facts):
                    return found
        sees = self.details.projector is not None
        return from_hub(self.details.card, quantization, conditions.machine, has_projector=sees)


def _agrees(expected: ModelFacts, known: ModelFacts) -> bool:
    """Return True if the file's size fits the same model. A repository may hold several models."""
    header = known.file_bytes - sum(group.bytes for group in known.tensors)
    tensors = expected.file_bytes - header
    return abs(sum(group.bytes for group in expected.tensors) - tensors) < 0.12 * tensors


def appraise(facts: ModelFacts, conditions: Conditions) -> Appraisal:
    """Return the appraisal of a model whose header was read."""
    verdict = assess(
        facts,
        conditions.machine,
        conditions.context,
        conditions.calibration,
        in_situ=conditions.in_situ,
        pad_rows=conditions.pad_rows,
    )
    return Appraisal(
        basis="header",
        runs=verdict.runs,
        fits=verdict.fits,
        speed=verdict.speed,
        verdict=verdict,
        facts=facts,
        base=verdict.completion_only,
    )


async def appraise_local(model: LocalModel, conditions: Conditions) -> Appraisal:
    """Return the appraisal of a model on this disk.

    Raises:
        ModelFileError: a file cannot be read or is not a valid model file.
    """
    return appraise(await asyncio.to_thread(read_local_facts, model), conditions)


def _estimated(found: Appraisal, quantization: Quantization) -> Appraisal:
    runs = found.runs
    if runs.level == "yes" and quantization.kind.startswith("UD-"):
        runs = Part(
            "maybe",
            f"{runs.words}; a dynamic mix may contain types that do not load, which only its header shows",
        )
    return replace(found, basis="estimate", runs=runs)


def from_hub(
    card: Card, quantization: Quantization, machine: Machine, *, has_projector: bool = True
) -> Appraisal:
    """Return the appraisal without a header: from the label, the size and the hub's metadata."""
    available = machine.gpu.memory_available if machine.gpu else machine.memory_available
    problem = _problem(card, quantization, has_projector)
    base = card.has_template is False and quantization.label != SAFETENSORS
    runs = Part("no", problem) if problem else Part("maybe", "not known before its header is read")
    if base and not problem:
        runs = Part(
            "maybe", "a base model, according to the hub: without a chat template it only continues text"
        )
    size = quantization.size_bytes
    if size is not None and size > available:
        words = f"its files take {size / 1e9:.1f} GB, and {available / 1e9:.1f} GB are free"
        fits = Part("no", words)
    else:
        fits = Part("maybe", "not known before its header is read")
    return Appraisal(
        basis="hub",
        runs=runs,
        fits=fits,
        speed=Speed("maybe", "not known"),
        base=base,
        guessed=problem is not None and repository_problem(card, has_projector) is None,
    )


def repository_problem(card: Card, has_projector: bool = True) -> str | None:
    """Return why no model in a repository can be loaded, according to the hub's metadata; None if one may
    load.

    `has_projector` is True if the repository has a projector or this is unknown.
    """
    architecture = card.architecture or ""
    if (kind := kind_by_header(None, architecture)) is not None:
        return f"it is {kind}"
    if architecture in GGUF_ARCHITECTURES_WITH_PROJECTOR and not has_projector:
        return f"{needs_projector(architecture)}, and the repository has none"
    if architecture in GGUF_ARCHITECTURES_FAILING:
        return f"mistral.rs loads {architecture}, but fails at the first request"
    known = GGUF_ARCHITECTURES | GGUF_ARCHITECTURES_UNPROVEN | GGUF_ARCHITECTURES_WITH_PROJECTOR
    if architecture and architecture not in known:
        return f"mistral.rs has no loader for the architecture {architecture}"
    return None


def _problem(card: Card, quantization: Quantization, has_projector: bool) -> str | None:
    """Return why this quantization cannot be loaded, according to its label and the hub; None if it may
    load."""
    if quantization.label == SAFETENSORS:
        return None
    if (problem := repository_problem(card, has_projector)) is not None:
        return problem
    if card.architecture == "gpt-oss":  # its experts stay MXFP4, despite the label
        return None
    kind = quantization.kind.removeprefix("UD-")
    if kind.startswith(("IQ", "TQ", "NVFP4", "MXFP4")) and not (
        kind.startswith("MXFP4") and not card.architecture
    ):
        words = f"mistral.rs cannot load {kind.removesuffix('_MOE')} tensors, which its name implies"
        return f"{words}; choose a Q4_K_M or Q8_0"
    return None


async def appraise_repository(
    headers: Headers,
    conditions: Conditions,
    *,
    named: str | None = None,
    cached: frozenset[str] = frozenset(),
) -> tuple[Quantization, dict[str, Appraisal]]:
    """Return the recommended quantization, with its header read, and the appraisal of each.

    Raises:
        HubError, ModelFileError: the header could not be read, but `headers.appraise` still works.
        ModelReferenceError: no quantization has this name.
    """
    quantizations = headers.details.choices
    chosen = choose_default(quantizations, headers.appraise(conditions), named=named, cached=cached)
    # The first header may show that another quantization is better, but rarely a third.
    for _ in range(2):
        await headers.read(chosen.label)
        appraisals = headers.appraise(conditions)
        before, chosen = chosen, choose_default(quantizations, appraisals, named=named, cached=cached)
        if chosen == before:
            break
    return chosen, appraisals


def choose_default(
    quantizations: Sequence[Quantization],
    appraisals: Mapping[str, Appraisal],
    *,
    named: str | None = None,
    cached: frozenset[str] = frozenset(),
) -> Quantization:
    """Return the quantization that `choose` prefers among those that run and fit.

    Raises:
        ModelReferenceError: the repository has no quantization, none with that name, or several.
    """
    if [q.label for q in quantizations] == [SAFETENSORS] and (named or SAFETENSORS).lower() == SAFETENSORS:
        return quantizations[0]

    def suits(quantization: Quantization) -> bool:
        return appraisals[quantization.label].level != "no"

    return choose(quantizations, named=named, cached=cached, suits=suits)
