"""Suggest the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(wrong: str, known: Iterable[str]) -> str | None:
    """Return the known name most similar to the wrong one, if any is similar."""
    from difflib import get_close_matches  # Import it only for errors, to keep the start fast.

    by_folded = {name.casefold(): name for name in known}
    near = get_close_matches(wrong.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[near[0]] if near else None


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return a question that suggests the nearest known name; empty if none is similar."""
    near = nearest(wrong, known)
    return f"Did you mean {near}?" if near else ""
