"""Chooses the models to offer at the start: those on this machine, otherwise good first models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from spnl_tui.errors import ModelFileError
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.library.scan import LibraryEntry, Origin
from spnl_tui.hub.verdicts import Appraisal, Conditions, appraise
from spnl_tui.models.files.local import read_local_facts
from spnl_tui.models.first_models import FirstModel, first_models

_EXAMINED = 5
"""The most local models whose headers are read."""
_OURS: tuple[Origin, ...] = ("cache", "folder", "imported", "starter")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHere:
    """A model on this machine, with facts known without loading it."""

    name: str
    size_bytes: int = 0
    program: str = ""
    """The other program that the model belongs to; empty if it is spnl-chat's."""
    tokens_per_s: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOffers:
    """The models that the start screen offers."""

    here: tuple[ModelHere, ...] = ()
    """The models on this machine, most recently used first."""
    first: tuple[FirstModel, ...] = ()
    """Good first models for this machine, smallest first; empty unless `here` is empty."""
    free_bytes: int | None = None
    """Bytes of free memory on this machine; None if unknown."""


async def model_offers(library: Library, conditions: Conditions) -> ModelOffers:
    """Return the models to offer on this machine, without network access.

    Raises:
        StoreError: the models on this machine cannot be listed.
    """
    entries = (await library.listing()).entries
    recent = sorted(entries, key=lambda entry: -(entry.used.timestamp() if entry.used else 0))
    if not recent:
        first = first_models(conditions.machine, conditions.context, conditions.calibration)
        return ModelOffers(first=first, free_bytes=conditions.machine.memory_available)
    here = await asyncio.to_thread(_examine, recent, conditions)
    return ModelOffers(here=here, free_bytes=conditions.machine.memory_available)


def _examine(entries: Sequence[LibraryEntry], conditions: Conditions) -> tuple[ModelHere, ...]:
    here = []
    for place, entry in enumerate(entries):
        program = "" if entry.origin in _OURS else entry.origin
        model = ModelHere(name=entry.name, size_bytes=entry.size_bytes, program=program)
        if place < _EXAMINED and (found := _appraise(entry, conditions)) is not None:
            memory = None if found.verdict is None else found.verdict.memory.total
            model = replace(model, tokens_per_s=found.speed.decode, memory_bytes=memory)
        here.append(model)
    return tuple(here)


def _appraise(entry: LibraryEntry, conditions: Conditions) -> Appraisal | None:
    try:
        return appraise(read_local_facts(entry.model), conditions)
    except ModelFileError:  # list the model nevertheless; loading it reports the error
        return None
