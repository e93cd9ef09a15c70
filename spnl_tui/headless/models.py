"""`spnl-chat search`, `show`, `list`, `rm` and `import`: the model browser without a screen."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spnl_tui.errors import HubError, ModelFileError, ModelMissingError, SpnlError
from spnl_tui.headless.output import FAILED, OK, print_json, show_error
from spnl_tui.headless.tables import print_table
from spnl_tui.hub.catalog import Card, Catalog, RepositoryDetails, Sort
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.library.removal import RemovalPlan
from spnl_tui.hub.library.scan import LibraryEntry, UnfinishedPull
from spnl_tui.hub.model_lines import (
    LIBRARY_COLUMNS,
    QUANTIZATION_COLUMNS,
    SEARCH_COLUMNS,
    card_lines,
    library_row,
    quantization_row,
    removal_line,
    removal_question,
    search_row,
)
from spnl_tui.hub.verdicts import (
    Appraisal,
    Conditions,
    Headers,
    appraise_local,
    appraise_repository,
    choose_default,
)
from spnl_tui.models.facts import Format, ModelFacts
from spnl_tui.models.quantization import Quantization, escape_label
from spnl_tui.models.reference import ModelReference
from spnl_tui.tables import Column
from spnl_tui.text import in_bytes, plain

_WHY = Column("WHY", least=24, rank=5)
Planner = Callable[[ModelFacts], str]
"""Describes in a line how a model would be loaded."""


async def search(catalog: Catalog, text: str, *, format: Format, sort: Sort, limit: int, json_: bool) -> int:
    """Print the search results of Hugging Face. Like `grep`, fail if there are none."""
    page = await catalog.search(text, format=format, sort=sort, limit=limit)
    if json_:
        _print_json({"models": [card_as_dict(card) for card in page.cards], "more": page.next is not None})
        return OK if page.cards else FAILED
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
    conditions: Conditions,
    plan: Planner,
    json_: bool,
) -> int:
    """Print a repository's card and its quantizations with their verdicts, the default marked and planned.

    If headers cannot be read (a gated repository, a failing hub), the verdicts rest on the hub's metadata and
    the reason is shown. Without a connection to the hub, show the parts of the model on this machine.
    """
    if reference.repository is None:
        return await _show_local(library, reference, conditions=conditions, plan=plan, json_=json_)
    try:
        details = await catalog.details(reference.repository, reference.revision)
    except HubError as error:
        if not await library.matching(reference):
            raise
        _print_note(f"Only what is on this machine is shown. {error.title}: {error.message}")
        return await _show_local(library, reference, conditions=conditions, plan=plan, json_=json_)
    cached = frozenset(await library.here(details, reference.revision))
    headers = Headers(catalog, details)
    if not details.choices:
        if json_:
            _print_json(details_as_dict(details, cached, None, {}))
        else:
            _print_lines(card_lines(details))
        return OK
    problem: SpnlError | None = None
    try:
        default, appraisals = await appraise_repository(
            headers, conditions, named=reference.quantization, cached=cached
        )
    except (HubError, ModelFileError) as error:
        problem, appraisals = error, headers.appraise(conditions)
        default = choose_default(details.choices, appraisals, named=reference.quantization, cached=cached)
    facts = headers.facts.get(default.label)
    if json_:
        planned = plan(facts) if facts else None
        _print_json({**details_as_dict(details, cached, default, appraisals), "plan": planned})
    else:
        _print_lines(card_lines(details))
        print()
        rows = [
            (
                *quantization_row(q, default, q.label in cached, appraisals[q.label]),
                appraisals[q.label].why,
            )
            for q in details.choices
        ]
        print_table((*QUANTIZATION_COLUMNS, _WHY), rows)
        _print_lines(["", f"{escape_label(default.label)}, with {conditions.context:,} tokens of context:"])
        _print_lines([f"  {line}" for line in appraisals[default.label].reasons])
        if facts and appraisals[default.label].runs.level != "no":
            _print_lines([f"  Load: {plan(facts)}."])
    if problem is not None:
        show_error(problem)
    return OK if problem is None else FAILED


async def list_models(library: Library, *, json_: bool) -> int:
    """Print the models on this machine and the incomplete pulls."""
    listing, unfinished = await library.listing(), await library.unfinished()
    for problem in listing.problems:
        show_error(problem)
    if json_:
        _print_json(
            {
                "models": [entry_as_dict(entry) for entry in listing.entries],
                "unfinished": [unfinished_as_dict(pull) for pull in unfinished],
            }
        )
        return OK
    if listing.entries:
        print_table(LIBRARY_COLUMNS, [library_row(entry) for entry in listing.entries])
    else:
        _print_note("There are no models on this machine yet. Get one: spnl-chat pull starter")
    for pull in unfinished:
        command = shlex.join(["spnl-chat", "pull", pull.name])
        _print_note(f"{pull.name} is not complete ({in_bytes(pull.done_bytes)} are here). Resume: {command}")
    return OK


async def remove(
    library: Library,
    references: Sequence[ModelReference],
    *,
    confirm: Callable[[str], bool],
    json_: bool,
) -> int:
    """Delete every quantization that a reference matches, after `confirm` has received the size.

    An import whose path no longer has a model is removed without a question.

    Raises:
        ModelMissingError: a model is not on this machine. Then nothing is deleted.
    """
    entries: dict[LibraryEntry, None] = {}
    gone: dict[Path, None] = {}
    unfinished: list[UnfinishedPull] = []
    for reference in references:
        found = await library.matching(reference)
        begun = await library.unfinished(reference)
        if not found and reference.path is not None and await library.is_imported(reference.path):
            gone[reference.path] = None
        elif not found and not begun:
            raise ModelMissingError(reference.pretty, pullable=reference.repository is not None)
        entries |= dict.fromkeys(found)
        unfinished += begun
    plans = [await library.plan_removal(entry) for entry in entries]
    if (plans or unfinished) and not confirm(removal_question(plans, unfinished)):
        return FAILED
    for path in gone:
        await library.forget(path)
    done = [(await library.remove(plan.entry)).plan for plan in plans]
    for pull in unfinished:
        await library.drop(pull)
    if json_:
        others = [(str(path), str(path), 0) for path in gone]
        others += [(pull.name, str(pull.reference), pull.done_bytes) for pull in unfinished]
        deleted = [
            {"name": name, "reference": reference, "freed_bytes": freed, "kept_for": []}
            for name, reference, freed in others
        ]
        _print_json({"deleted": [*deleted, *(removal_as_dict(plan) for plan in done)]})
    else:
        for path in gone:
            print(f"{plain(str(path))}: forgotten.")
        for plan in done:
            print(removal_line(plan))
        for pull in unfinished:
            print(f"{plain(pull.name)}: what had come of it is deleted, {in_bytes(pull.done_bytes)} freed.")
    return OK


async def import_model(library: Library, path: Path, *, json_: bool) -> int:
    """Add a file or folder to the library without copying it."""
    entry = await library.import_path(path)
    if json_:
        _print_json(entry_as_dict(entry))
    else:
        print(f"{plain(entry.name)}  {in_bytes(entry.size_bytes)}")
    return OK


async def _show_local(
    library: Library, reference: ModelReference, *, conditions: Conditions, plan: Planner, json_: bool
) -> int:
    found = await library.matching(reference)
    if not found and reference.path is not None:
        await library.resolve(reference)  # reports an error of the path itself, if there is one
        found = await library.at_path(reference)
    if not found:
        raise ModelMissingError(reference.pretty, pullable=reference.path is None)
    appraisals = [await appraise_local(entry.model, conditions) for entry in found]
    if json_:
        models = [
            {**entry_as_dict(entry), **appraisal_as_dict(appraisal), "plan": _planned(appraisal, plan)}
            for entry, appraisal in zip(found, appraisals, strict=True)
        ]
        _print_json({"models": models})
        return OK
    for entry, appraisal in zip(found, appraisals, strict=True):
        print_table(LIBRARY_COLUMNS, [library_row(entry)])
        _print_lines([f"  {line}" for line in appraisal.reasons])
        if appraisal.runs.level != "no":
            _print_lines([f"  Load: {_planned(appraisal, plan)}."])
    return OK


def _planned(appraisal: Appraisal, plan: Planner) -> str | None:
    return plan(appraisal.facts) if appraisal.facts and appraisal.runs.level != "no" else None


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def card_as_dict(card: Card) -> dict[str, Any]:
    """Return a search result for `--json`."""
    fields = dataclasses.asdict(card)
    return {**fields, "updated": card.updated.isoformat() if card.updated else None}


def details_as_dict(
    details: RepositoryDetails,
    cached: frozenset[str],
    default: Quantization | None,
    appraisals: Mapping[str, Appraisal],
) -> dict[str, Any]:
    """Return a repository for `--json`."""
    return {
        **card_as_dict(details.card),
        "commit": details.commit,
        "format": details.format,
        "quantizations": [
            {
                "label": q.label,
                "reference": str(ModelReference(details.repository).with_quantization(q.label)),
                "files": [file.path for file in q.files],
                "size_bytes": q.size_bytes,
                "bits_per_weight": appraisals[q.label].bits_per_weight,
                "default": q == default,
                "cached": q.label in cached,
                **appraisal_as_dict(appraisals[q.label]),
            }
            for q in details.choices
        ],
        "files": [dataclasses.asdict(file) for file in details.files],
    }


def appraisal_as_dict(appraisal: Appraisal) -> dict[str, Any]:
    """Return a verdict for `--json`. `basis` says whether it rests on the model's own header."""
    verdict = appraisal.verdict
    return {
        "fit": appraisal.badge,
        "speed": appraisal.speed_badge or None,
        "verdict": {
            "level": appraisal.level,
            "basis": appraisal.basis,
            "runs": dataclasses.asdict(appraisal.runs),
            "fits": dataclasses.asdict(appraisal.fits),
            "speed": dataclasses.asdict(appraisal.speed),
            "context": verdict.context if verdict else None,
            "longest_context": verdict.longest_context if verdict else None,
            "memory_bytes": verdict.memory.total if verdict else None,
            "in_situ_quantization": verdict.in_situ if verdict else None,
            "pad_rows": verdict.pad_rows if verdict else None,
            "completion_only": verdict.completion_only if verdict else None,
        },
    }


def entry_as_dict(entry: LibraryEntry) -> dict[str, Any]:
    """Return a model on this machine for `--json`."""
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


def unfinished_as_dict(pull: UnfinishedPull) -> dict[str, Any]:
    """Return an incomplete pull for `--json`."""
    return {
        "name": pull.name,
        "reference": str(pull.reference),
        "done_bytes": pull.done_bytes,
        "files": list(pull.files),
    }


def removal_as_dict(plan: RemovalPlan) -> dict[str, Any]:
    """Return a deletion for `--json`."""
    return {
        "name": plan.entry.name,
        "reference": str(plan.entry.reference),
        "freed_bytes": plan.frees_bytes,
        "kept_for": list(plan.kept_for),
    }


def _print_note(text: str) -> None:
    print(plain(text), file=sys.stderr)


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(plain(line))


def _print_json(data: object) -> None:
    print_json(data, indent=2)
