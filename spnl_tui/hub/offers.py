"""Models to offer at the start: those on this machine with their figures, else good first ones."""

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
"""The most models whose headers are read."""
_OURS: tuple[Origin, ...] = ("cache", "folder", "imported", "starter")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelHere:
    """A model on this machine, with what is known of it without loading it."""

    name: str
    size_bytes: int = 0
    program: str = ""
    """The other program that it was found in; empty for our own."""
    tokens_per_s: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOffers:
    """The choices that the start screen can offer."""

    here: tuple[ModelHere, ...] = ()
    """The last used first."""
    first: tuple[FirstModel, ...] = ()
    """Good first models for this machine, the smallest first; only if none is here."""
    free_bytes: int | None = None
    """Free memory of this machine."""


async def model_offers(library: Library, conditions: Conditions) -> ModelOffers:
    """Return what to offer on this machine. Asks no server.

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
    except ModelFileError:  # the list still names it, and loading it says what is wrong
        return None
