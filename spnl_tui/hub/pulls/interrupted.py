"""Pulls that another run or program, such as `spnl-chat pull`, left incomplete in the cache."""

from __future__ import annotations

from dataclasses import dataclass

from spnl_tui.hub.library.cache_layout import default_cache
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.pulls.pull import PullRequest


@dataclass(frozen=True, slots=True)
class InterruptedPull:
    """A pull that can be resumed."""

    request: PullRequest
    name: str
    """The name that the user knows."""
    done: int
    """Bytes received so far."""


async def interrupted_pulls(library: Library) -> list[InterruptedPull]:
    """Return the interrupted pulls in the cache of the queue."""
    cache = default_cache()
    return [
        InterruptedPull(
            PullRequest(pull.cache.name, pull.files, pull.revision, pull.reference.quantization or ""),
            pull.name,
            pull.done_bytes,
        )
        for pull in await library.unfinished()
        if pull.cache.root.parent == cache
    ]
