"""The part of a branch that the model still reads, if the branch is longer than the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spnl_tui.conversations.turn import Provenance, Turn


class Memory(NamedTuple):
    """The part of a branch that the model still reads."""

    begins: str | None = None
    """The id of the first turn that the model reads; None if it reads all."""
    summary: str = ""
    """The summary of the turns before `begins`."""


def memory_of(path: Sequence[Turn]) -> Memory:
    """Return the part of a branch that the model read for the last reply."""
    last = next((turn.provenance for turn in reversed(path) if turn.provenance is not None), Provenance())
    left_out = set(last.left_out)
    places = [place for place, turn in enumerate(path) if turn.id in left_out]
    if not places or places[-1] + 1 >= len(path):
        return Memory()
    return Memory(path[places[-1] + 1].id, last.summary)
