"""The replies that are compared, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class CandidateSet:
    """Replies of which none is chosen yet. The highlighted one is the active branch."""

    turns: list[str]
    """The ids of the turns."""
    labels: dict[str, str]
    """By the id of the turn."""
    best: str | None = None
    """The id of the turn that the judge has chosen, if it has."""
    verdict: str = ""
    """The judge's reasons, or why it failed."""
