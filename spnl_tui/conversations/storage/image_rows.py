"""Images that no conversation holds any more: their files go once nobody can undo a deletion."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from pathlib import Path

_SHA256 = re.compile("[0-9a-f]{64}")
_IN_PARTS = re.compile(r'"sha256"\s*:\s*"([0-9a-f]{64})"')
GRACE_S = 7 * 24 * 3600.0
"""The seconds for which an image without a turn is kept, because a draft or a new prompt may mention it."""


def remove_unused_images(connection: sqlite3.Connection, folder: Path, now: float | None = None) -> None:
    """Remove the files of images that no stored turn names, except those written lately."""
    old = (time.time() if now is None else now) - GRACE_S
    try:
        with os.scandir(folder) as entries:
            candidates = {
                entry.name: Path(entry.path)
                for entry in entries
                # What an interrupted write left behind begins otherwise.
                if (_SHA256.fullmatch(entry.name) or entry.name.startswith(".part-"))
                and entry.stat(follow_symlinks=False).st_mtime < old
            }
    except OSError:  # no image was ever attached, or they are not ours to remove
        return
    if not candidates:
        return
    for (parts,) in connection.execute("SELECT parts FROM turn WHERE parts LIKE '%\"sha256\"%'"):
        for sha256 in _IN_PARTS.findall(parts):
            candidates.pop(sha256, None)
    for path in candidates.values():
        with contextlib.suppress(OSError):  # the next program tries again
            path.unlink()
