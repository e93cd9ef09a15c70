"""The nearest valid name, for hints."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like the wrong one, if any does."""
    from difflib import get_close_matches  # Errors only: not worth importing at every start.

    by_folded = {name.casefold(): name for name in known}
    near = get_close_matches(wrong.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[near[0]] if near else None


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """A question that names the nearest known name; empty if there is none."""
    near = nearest(wrong, known)
    return f"Did you mean {near}?" if near else ""
