"""`spnl-chat search`, `show`, `list`, `rm` and `import`: the model browser without a screen."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from spnl_tui.errors import HubError, ModelFileError, ModelReferenceError, SpnlError
from spnl_tui.headless.output import FAILED, OK, show_error
from spnl_tui.headless.tables import Column, print_table
from spnl_tui.hub.catalog import Card, Catalog, RepositoryDetails, Sort
from spnl_tui.hub.library import Library
from spnl_tui.hub.removal import RemovalPlan
from spnl_tui.hub.scan import SAFETENSORS, LibraryEntry
from spnl_tui.models.facts import Format, ModelFacts
from spnl_tui.models.fit import Verdict
from spnl_tui.models.local import read_local_facts
from spnl_tui.models.quantization import Quantization, choose
from spnl_tui.models.reference import ModelReference
from spnl_tui.text import in_bytes, plain

Judge = Callable[[ModelFacts], Verdict]
"""`fit.assess` for this machine and the context that is wanted."""


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
    catalog: Catalog, library: Library, reference: ModelReference, judge: Judge, *, json_: bool
) -> int:
    """Print what a model is, and of every quantization whether it runs and fits here, and how fast.

    The verdict on the default comes from its header, those on the others are what is expected of their labels
    and sizes.
    """
    if reference.repository is None:
        return await _show_local(library, reference, judge, json_=json_)
    details = await catalog.details(reference.repository, reference.revision)
    cached = await library.cached_labels(details.repository)
    exact, verdicts, problem = await _verdicts(catalog, details, reference.quantization, cached, judge)
    default = _default(details.quantizations, reference.quantization, cached, verdicts)
    if json_:
        _print_json(details_as_dict(details, default, exact, cached, verdicts))
    else:
        print("\n".join(card_lines(details, verdicts.get(SAFETENSORS))))
        if details.quantizations:
            rows = [
                quantization_row(
                    q, q == default, q.label in cached, details.card.parameters, verdicts.get(q.label)
                )
                for q in details.quantizations
            ]
            print()
            print_table(QUANTIZATION_COLUMNS, rows)
    if problem is not None:
        show_error(problem)
    return OK if problem is None else FAILED


async def _verdicts(
    catalog: Catalog,
    details: RepositoryDetails,
    named: str | None,
    cached: frozenset[str],
    judge: Judge,
) -> tuple[Quantization | None, dict[str, Verdict], SpnlError | None]:
    """Whose header was read, and verdicts by label; or why there are none: gated files, a damaged header."""
    exact = choose(details.quantizations, named=named, cached=cached) if details.quantizations else None
    try:
        if exact is not None:
            facts = await catalog.facts_of_all(details, exact)
        elif details.format == "safetensors":
            facts = {SAFETENSORS: await catalog.facts(details)}
        else:
            facts = {}
    except (HubError, ModelFileError) as error:
        return None, {}, error
    return exact, {label: judge(known) for label, known in facts.items()}, None


def _default(
    quantizations: Sequence[Quantization],
    named: str | None,
    cached: frozenset[str],
    verdicts: Mapping[str, Verdict],
) -> Quantization | None:
    if not quantizations:
        return None

    def suits(quantization: Quantization) -> bool:
        verdict = verdicts.get(quantization.label)
        return verdict is None or verdict.level != "no"

    return choose(quantizations, named=named, cached=cached, suits=suits)


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


async def _show_local(library: Library, reference: ModelReference, judge: Judge, *, json_: bool) -> int:
    found = await library.matching(reference)
    if not found and reference.path is not None:
        await library.resolve(reference)  # says what is wrong with the path, if that is it
    if not found:
        raise ModelReferenceError(
            "The model is not in the library",
            f"{reference} is not here, or was not imported.",
            "See: spnl-chat list",
        )
    verdicts = [judge(await asyncio.to_thread(read_local_facts, entry.model)) for entry in found]
    if json_:
        models = [
            {**entry_as_dict(entry), "verdict": verdict_as_dict(verdict)}
            for entry, verdict in zip(found, verdicts, strict=True)
        ]
        _print_json({"models": models})
        return OK
    for entry, verdict in zip(found, verdicts, strict=True):
        print(f"{plain(entry.name)}  {in_bytes(entry.size_bytes)}")
        print("\n".join(verdict_lines(verdict)))
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
    Column("FIT"),
    Column("SPEED", right=True, rank=2),
    Column("WHY", least=20, rank=1),
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
    quantization: Quantization, default: bool, cached: bool, parameters: int | None, verdict: Verdict | None
) -> tuple[str, ...]:
    """A quantization, as a row of QUANTIZATION_COLUMNS."""
    bits = quantization.bits_per_weight(parameters)
    return (
        "*" if default else "",
        quantization.label,
        "?" if quantization.size_bytes is None else in_bytes(quantization.size_bytes),
        "" if bits is None else f"{bits:.1f}",
        "yes" if cached else "",
        verdict.level if verdict else "",
        _speed(verdict),
        _why(verdict) if verdict else "",
    )


def _speed(verdict: Verdict | None) -> str:
    """Expected tokens of a reply in a second, in two figures: no estimate is better than that."""
    decode = verdict and verdict.speed.decode
    return "" if not decode else f"{float(f'{decode:.2g}'):,.4g}/s"


def _why(verdict: Verdict) -> str:
    """The reason that decides: why it does not run, or else how it fits."""
    return verdict.runs.words if verdict.runs.level == "no" else verdict.fits.words


def verdict_lines(verdict: Verdict) -> list[str]:
    """The three answers with their reasons."""
    parts = (("runs", verdict.runs), ("fits", verdict.fits), ("speed", verdict.speed))
    return [f"  {name:<13}{part.level}: {part.words}" for name, part in parts]


def library_row(entry: LibraryEntry) -> tuple[str, ...]:
    """A model on this machine, as a row of LIBRARY_COLUMNS."""
    return (entry.name, in_bytes(entry.size_bytes), _date(entry.used))


def card_lines(details: RepositoryDetails, verdict: Verdict | None = None) -> list[str]:
    """What there is to say of a repository, a line for each; with the verdict, if it has but one."""
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
    lines += verdict_lines(verdict) if verdict else []
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
    details: RepositoryDetails,
    default: Quantization | None,
    exact: Quantization | None,
    cached: frozenset[str],
    verdicts: Mapping[str, Verdict],
) -> dict[str, Any]:
    """A repository for `--json`."""
    return {
        **card_as_dict(details.card),
        "commit": details.commit,
        "format": details.format,
        "verdict": verdict_as_dict(verdicts.get(SAFETENSORS)),
        "quantizations": [
            {
                "label": q.label,
                "files": [file.path for file in q.files],
                "size_bytes": q.size_bytes,
                "bits_per_weight": q.bits_per_weight(details.card.parameters),
                "default": q == default,
                "cached": q.label in cached,
                "verdict": verdict_as_dict(verdicts.get(q.label)),
                "verdict_from_header": q == exact,
            }
            for q in details.quantizations
        ],
        "files": [dataclasses.asdict(file) for file in details.files],
    }


def verdict_as_dict(verdict: Verdict | None) -> dict[str, Any] | None:
    """A verdict for `--json`."""
    return None if verdict is None else {"level": verdict.level, **dataclasses.asdict(verdict)}


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
