"""What the model knows of a branch that does not fit into its context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spnl_tui.conversations.turn import Provenance, Turn


class Memory(NamedTuple):
    """What the model knows of a branch that does not fit into its context."""

    begins: str | None = None
    """The turn with which its memory begins; None: with the first."""
    summary: str = ""
    """What it knows of the turns before that."""


def memory_of(path: Sequence[Turn]) -> Memory:
    """What the last reply of a branch knew of it."""
    last = next((turn.provenance for turn in reversed(path) if turn.provenance is not None), Provenance())
    left_out = set(last.left_out)
    places = [place for place, turn in enumerate(path) if turn.id in left_out]
    if not places or places[-1] + 1 >= len(path):
        return Memory()
    return Memory(path[places[-1] + 1].id, last.summary)
