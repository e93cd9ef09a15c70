"""`spnl-chat search`, `show`, `list`, `rm` and `import`: the model browser without a screen."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from spnl_tui.errors import ModelReferenceError
from spnl_tui.headless.output import FAILED, OK, show_error
from spnl_tui.headless.tables import Column, print_table
from spnl_tui.hub.catalog import Card, Catalog, RepositoryDetails, Sort
from spnl_tui.hub.library import Library
from spnl_tui.hub.removal import RemovalPlan
from spnl_tui.hub.scan import LibraryEntry
from spnl_tui.models.facts import Format
from spnl_tui.models.quantization import Quantization, choose
from spnl_tui.models.reference import ModelReference
from spnl_tui.text import in_bytes, plain

Verdicts = Mapping[str, tuple[str, str]]
"""By label: whether it runs and fits here, and how fast it will be, in a word or two each."""


async def search(catalog: Catalog, text: str, *, format: Format, sort: Sort, limit: int, json_: bool) -> int:
    """Print what Hugging Face has of this name."""
    page = await catalog.search(text, format=format, sort=sort, limit=limit)
    if json_:
        _print_json({"models": [card_as_dict(card) for card in page.cards], "more": page.next is not None})
        return OK
    if not page.cards:
        print(f"Nothing on Hugging Face is called {plain(text)!r}.", file=sys.stderr)
        return FAILED
    print_table(SEARCH_COLUMNS, [search_row(card) for card in page.cards])
    return OK


async def show(
    catalog: Catalog,
    library: Library,
    reference: ModelReference,
    *,
    json_: bool,
    verdicts: Verdicts | None = None,
) -> int:
    """Print a repository's card and its quantizations, the default marked."""
    if reference.repository is None:
        return await _show_local(library, reference, json_=json_)
    details = await catalog.details(reference.repository, reference.revision)
    cached = await library.cached_labels(details.repository)
    if json_:
        _print_json(details_as_dict(details, cached, reference.quantization, verdicts or {}))
        return OK
    for line in card_lines(details):
        print(line)
    if details.quantizations:
        default = choose(details.quantizations, named=reference.quantization, cached=cached)
        rows = [
            quantization_row(q, default, cached, details.card.parameters, verdicts or {})
            for q in details.quantizations
        ]
        print()
        print_table(QUANTIZATION_COLUMNS, rows)
    return OK


async def list_models(library: Library, *, json_: bool) -> int:
    """Print the models on this machine."""
    listing = await library.listing()
    for problem in listing.problems:
        show_error(problem)
    if json_:
        _print_json({"models": [entry_as_dict(entry) for entry in listing.entries]})
    elif listing.entries:
        print_table(LIBRARY_COLUMNS, [library_row(entry) for entry in listing.entries])
    else:
        print("There are no models on this machine yet. Get one: spnl-chat pull starter", file=sys.stderr)
    return OK


async def remove(
    library: Library,
    references: Sequence[ModelReference],
    *,
    confirm: Callable[[str], bool],
    json_: bool,
) -> int:
    """Delete models: every quantization that a reference matches. `confirm` is asked, with the size named.

    Raises:
        ModelReferenceError: one of them is not on this machine; then nothing is deleted.
    """
    entries: dict[LibraryEntry, None] = {}
    for reference in references:
        found = await library.matching(reference)
        if not found:
            raise ModelReferenceError(
                "The model is not on this machine", f"{reference.pretty} is not here.", "See: spnl-chat list"
            )
        entries |= dict.fromkeys(found)
    plans = [await library.plan_removal(entry) for entry in entries]
    if not confirm(removal_question(plans)):
        return FAILED
    done = [(await library.remove(plan.entry)).plan for plan in plans]
    if json_:
        _print_json({"deleted": [removal_as_dict(plan) for plan in done]})
    else:
        for plan in done:
            print(removal_line(plan))
    return OK


async def import_model(library: Library, path: Path, *, json_: bool) -> int:
    """Take a file or folder into the library, where it is."""
    entry = await library.import_path(path)
    if json_:
        _print_json(entry_as_dict(entry))
    else:
        print(f"{plain(entry.name)}  {in_bytes(entry.size_bytes)}")
    return OK


async def _show_local(library: Library, reference: ModelReference, *, json_: bool) -> int:
    found = await library.matching(reference)
    if not found:
        raise ModelReferenceError(
            "The model is not on this machine", f"{reference} is not here.", "See: spnl-chat list"
        )
    if json_:
        _print_json({"models": [entry_as_dict(entry) for entry in found]})
    else:
        print_table(LIBRARY_COLUMNS, [library_row(entry) for entry in found])
    return OK


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────

SEARCH_COLUMNS = (
    Column("MODEL", least=24),
    Column("PARAMETERS", right=True, rank=1),
    Column("DOWNLOADS", right=True),
    Column("LIKES", right=True, rank=3),
    Column("UPDATED", rank=2),
    Column("LICENSE", least=8, rank=4),
)
QUANTIZATION_COLUMNS = (
    Column(" "),
    Column("QUANTIZATION", least=12),
    Column("SIZE", right=True),
    Column("BITS", right=True, rank=3),
    Column("HERE", rank=4),
    Column("FIT", least=8, rank=1),
    Column("SPEED", rank=2),
)
LIBRARY_COLUMNS = (Column("MODEL", least=24), Column("SIZE", right=True), Column("LAST USED", rank=1))


def search_row(card: Card) -> tuple[str, ...]:
    """A search result, as a row of SEARCH_COLUMNS."""
    gated = " (gated)" if card.gated else ""
    return (
        card.repository,
        in_short(card.parameters),
        in_short(card.downloads),
        in_short(card.likes),
        _date(card.updated),
        f"{card.license or ''}{gated}".strip(),
    )


def quantization_row(
    quantization: Quantization,
    default: Quantization,
    cached: frozenset[str],
    parameters: int | None,
    verdicts: Verdicts,
) -> tuple[str, ...]:
    """A quantization, as a row of QUANTIZATION_COLUMNS."""
    bits = quantization.bits_per_weight(parameters)
    fit, speed = verdicts.get(quantization.label, ("", ""))
    return (
        "*" if quantization == default else "",
        quantization.label,
        "?" if quantization.size_bytes is None else in_bytes(quantization.size_bytes),
        "" if bits is None else f"{bits:.1f}",
        "yes" if quantization.label in cached else "",
        fit,
        speed,
    )


def library_row(entry: LibraryEntry) -> tuple[str, ...]:
    """A model on this machine, as a row of LIBRARY_COLUMNS."""
    return (entry.name, in_bytes(entry.size_bytes), _date(entry.used))


def card_lines(details: RepositoryDetails) -> list[str]:
    """What there is to say of a repository, a line for each."""
    card = details.card
    weights = details.safetensors_files if details.format == "safetensors" else ()
    sizes = [file.size_bytes or 0 for file in weights]
    facts = [
        (
            "license",
            (card.license or "not told") + (", gated: accept its conditions first" if card.gated else ""),
        ),
        ("for", card.pipeline),
        ("architecture", card.architecture),
        ("parameters", in_short(card.parameters)),
        ("context", f"{card.context_length:,} tokens" if card.context_length else None),
        ("made from", ", ".join(card.base_models)),
        ("downloads", f"{card.downloads:,} in the last 30 days"),
        ("likes", f"{card.likes:,}"),
        ("updated", _date(card.updated)),
        ("format", details.format or "nothing that can be loaded"),
        ("size", in_bytes(sum(sizes)) if sizes else None),
    ]
    lines = [card.repository, *(f"  {name:<13}{value}" for name, value in facts if value)]
    return [plain(line).replace("\n", " ") for line in lines]


def removal_question(plans: Sequence[RemovalPlan]) -> str:
    """What is asked before deleting: every model, and the size of all."""
    names = ", ".join(plain(plan.entry.name) for plan in plans)
    if all(plan.entry.origin == "imported" for plan in plans):
        return f"Forget {names}? The files stay where they are."
    return f"Delete {names} ({in_bytes(sum(plan.frees_bytes for plan in plans))})?"


def removal_line(plan: RemovalPlan) -> str:
    """What deleting has done."""
    name = plain(plan.entry.name)
    if plan.entry.origin == "imported":
        return f"{name}: forgotten; the file stays where it is."
    kept = f"; files that revision {', '.join(plan.kept_for)} needs stay" if plan.kept_for else ""
    return f"{name}: deleted, {in_bytes(plan.frees_bytes)} freed{kept}."


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def card_as_dict(card: Card) -> dict[str, Any]:
    """A search result for `--json`."""
    fields = dataclasses.asdict(card)
    return {**fields, "updated": card.updated.isoformat() if card.updated else None}


def details_as_dict(
    details: RepositoryDetails, cached: frozenset[str], named: str | None, verdicts: Verdicts
) -> dict[str, Any]:
    """A repository for `--json`."""
    default = choose(details.quantizations, named=named, cached=cached) if details.quantizations else None
    return {
        **card_as_dict(details.card),
        "commit": details.commit,
        "format": details.format,
        "quantizations": [
            {
                "label": q.label,
                "files": [file.path for file in q.files],
                "size_bytes": q.size_bytes,
                "bits_per_weight": q.bits_per_weight(details.card.parameters),
                "default": q == default,
                "cached": q.label in cached,
                "fit": verdicts.get(q.label, (None, None))[0],
                "speed": verdicts.get(q.label, (None, None))[1],
            }
            for q in details.quantizations
        ],
        "files": [dataclasses.asdict(file) for file in details.files],
    }


def entry_as_dict(entry: LibraryEntry) -> dict[str, Any]:
    """A model on this machine for `--json`."""
    return {
        "name": entry.name,
        "reference": str(entry.reference),
        "quantization": entry.label,
        "format": entry.format,
        "size_bytes": entry.size_bytes,
        "used": entry.used.isoformat() if entry.used else None,
        "origin": entry.origin,
        "commit": entry.commit,
        "paths": [str(path) for path in entry.paths],
    }


def removal_as_dict(plan: RemovalPlan) -> dict[str, Any]:
    """A deletion for `--json`."""
    return {
        "name": plan.entry.name,
        "reference": str(plan.entry.reference),
        "freed_bytes": plan.frees_bytes,
        "kept_for": list(plan.kept_for),
    }


def in_short(number: int | None) -> str:
    """A count in three digits: "135M", "1.24B", "950"; empty for None."""
    if number is None:
        return ""
    for power, letter in ((9, "B"), (6, "M"), (3, "k")):
        if number >= 999.5 * 10 ** (power - 3):
            return f"{number / 10**power:.3g}{letter}"
    return str(number)


def _date(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%d") if time else ""


def _print_json(data: object) -> None:
    print(json.dumps(data, ensure_ascii=True, indent=2))
