"""Finds incomplete files in a Hugging Face cache that no pull can resume. Blocks, so call it in a thread.

These are files of pulls whose note was lost, the `.incomplete` files of huggingface_hub and programs that use
it, and the folders of repositories without other content. The names come from
huggingface_hub/file_download.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.hub.library.cache_layout import RepositoryCache
from spnl_tui.hub.library.scan import UnfinishedPull

_SUFFIXES = (".part", ".incomplete")
_RECENT_S = 60.0
"""Seconds since the last write during which another program may still be downloading a file."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """The incomplete files of one repository, or its empty folder."""

    cache: RepositoryCache
    paths: tuple[Path, ...]
    """The incomplete files; empty if the folder has no content."""
    bytes: int

    @property
    def name(self) -> str:
        """Return the name of the repository."""
        return self.cache.name

    def drop(self) -> bool:
        """Delete the files and empty folders. Return False if another program is writing one of them."""
        dropped = True
        for path in self.paths:
            dropped = self.cache.drop_part(path) and dropped
        self.cache.tidy()
        return dropped


def scan_leftovers(cache: Path, unfinished: Sequence[UnfinishedPull]) -> list[Leftover]:
    """Return the leftovers in a cache by repository, without the files of `unfinished` pulls."""
    resumable = {
        part for pull in unfinished for path in pull.files for part in pull.cache.parts(path, pull.revision)
    }
    found = []
    for root in sorted(cache.glob("models--*--*")):
        repository = RepositoryCache.at(root)
        parts = tuple(
            path
            for path in sorted(repository.blobs.glob("*"))
            if path.name.endswith(_SUFFIXES) and path not in resumable and not _is_recent(path)
        )
        if parts:
            found.append(Leftover(repository, parts, sum(path.stat().st_size for path in parts)))
        elif not any(names for _, _, names in os.walk(root)) and not _is_recent(root):
            found.append(Leftover(repository, (), 0))
    return found


def _is_recent(path: Path) -> bool:
    return time.time() - path.stat().st_mtime < _RECENT_S
