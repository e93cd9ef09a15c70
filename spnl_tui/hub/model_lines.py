"""Formats models as table rows and lines for commands and panes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from spnl_tui.hub.catalog import Card, RepositoryDetails
from spnl_tui.hub.library.programs.places import PROGRAMS
from spnl_tui.hub.library.removal import RemovalPlan
from spnl_tui.hub.library.scan import LibraryEntry, Origin, UnfinishedPull
from spnl_tui.hub.verdicts import Appraisal
from spnl_tui.models.quantization import Quantization, escape_label
from spnl_tui.tables import Column
from spnl_tui.text import first_line, in_bytes, plain

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
LIBRARY_COLUMNS = (
    Column("MODEL", least=24),
    Column("SIZE", right=True),
    Column("LAST USED", rank=2),
    Column("FROM", rank=1),
)


def search_row(card: Card) -> tuple[str, ...]:
    """Return a search result as a row with SEARCH_COLUMNS."""
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
    default: Quantization | None,
    cached: bool,
    appraisal: Appraisal | None,
) -> tuple[str, ...]:
    """Return a quantization as a row with QUANTIZATION_COLUMNS."""
    bits = appraisal.bits_per_weight if appraisal else None
    return (
        "*" if quantization == default else "",
        escape_label(quantization.label),
        "?" if quantization.size_bytes is None else in_bytes(quantization.size_bytes),
        "" if bits is None else f"{bits:.1f}",
        "yes" if cached else "",
        appraisal.badge if appraisal else "…",
        appraisal.speed_badge if appraisal else "",
    )


def library_row(entry: LibraryEntry) -> tuple[str, ...]:
    """Return a model on this machine as a row with LIBRARY_COLUMNS."""
    return (entry.name, in_bytes(entry.size_bytes), _date(entry.used), origin_title(entry))


def origin_title(entry: LibraryEntry) -> str:
    """Return the display name of an entry's origin, such as another program."""
    return title_of_origin(entry.origin)


def title_of_origin(origin: Origin) -> str:
    """Return the display name of an origin."""
    return next((program.title for program in PROGRAMS if program.origin == origin), "") or _OURS[origin]


_OURS: Mapping[str, str] = {
    "cache": "Hugging Face",
    "folder": "a folder",
    "imported": "imported",
    "starter": "starter",
}


def card_lines(details: RepositoryDetails) -> list[str]:
    """Return the description of a repository, one line per fact."""
    facts = card_facts(details.card, details)
    return [plain(details.repository), *(f"  {name:<13}{value}" for name, value in facts)]


def card_facts(card: Card, details: RepositoryDetails | None = None) -> list[tuple[str, str]]:
    """Return pairs of names and values that describe a repository. Without `details`, use only the search
    result."""
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
    ]
    if details is not None:
        weights = details.safetensors_files if details.format == "safetensors" else ()
        size = sum(file.size_bytes or 0 for file in weights)
        facts += [
            ("format", details.format or f"no file can be loaded. {details.problem}"),
            ("size", in_bytes(size) if size else None),
        ]
    return [(name, first_line(value, 300)) for name, value in facts if value]


def removal_question(plans: Sequence[RemovalPlan], unfinished: Sequence[UnfinishedPull] = ()) -> str:
    """Return the question before a deletion, with all models and the total size."""
    names = ", ".join(plain(name) for name in (*(p.entry.name for p in plans), *(u.name for u in unfinished)))
    if not unfinished and all(plan.entry.origin == "imported" for plan in plans):
        return f"Remove {names} from the list? The files stay."
    size = sum(plan.frees_bytes for plan in plans) + sum(pull.done_bytes for pull in unfinished)
    return f"Delete {names} ({in_bytes(size)})?"


def removal_line(plan: RemovalPlan) -> str:
    """Return the line that reports a deletion."""
    name = plain(plan.entry.name)
    if plan.entry.origin == "imported":
        return f"{name}: removed from the list; the file stays."
    kept = f"; files that revision {', '.join(plan.kept_for)} needs stay" if plan.kept_for else ""
    return f"{name}: deleted, {in_bytes(plan.frees_bytes)} freed{kept}."


def in_short(number: int | None) -> str:
    """Return a number with at most three digits: "135M", "1.24B", "950"; empty for None."""
    if number is None:
        return ""
    for power, letter in ((9, "B"), (6, "M"), (3, "k")):
        if number >= 999.5 * 10 ** (power - 3):
            return f"{number / 10**power:.3g}{letter}"
    return str(number)


def _date(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%d") if time else ""
