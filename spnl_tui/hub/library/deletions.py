"""Keeps deletions that can be undone, and suggests models to delete. Blocks, so call it in a thread."""

from __future__ import annotations

import os
import shlex
import shutil
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from spnl_tui.errors import StoreError
from spnl_tui.hub.library import removal
from spnl_tui.hub.library.import_registry import ImportRegistry
from spnl_tui.hub.library.removal import Removal
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.text import in_bytes

_NAMED = 4
"""The most models that a suggestion names."""


class Deletions:
    """Deletions that can be undone. Imported models are only removed from the list of imports."""

    def __init__(self, imports: ImportRegistry) -> None:
        self._imports = imports
        self._removals: list[Removal] = []
        self._lock = threading.Lock()

    @property
    def removals(self) -> tuple[Removal, ...]:
        """Return the deletions that can still be undone, oldest first."""
        return tuple(self._removals)

    def remove(self, entry: LibraryEntry) -> Removal:
        """Delete one quantization.

        Raises:
            StoreError: the files cannot be moved.
        """
        plan = removal.plan_removal(entry)
        with self._lock:
            if entry.origin == "imported":
                assert entry.reference.path is not None
                self._imports.discard(entry.reference.path)
            done = removal.remove(plan)
            self._removals.append(done)
        return done

    def undo(self, done: Removal) -> None:
        """Undo a deletion.

        Raises:
            StoreError: the files are gone for good, or cannot be moved back.
        """
        entry = done.plan.entry
        with self._lock:
            if done not in self._removals:
                raise StoreError("Nothing to undo", f"{entry.name} was not deleted, or is gone for good.")
            removal.restore(done)
            if entry.origin == "imported":
                assert entry.reference.path is not None
                self._imports.add(entry.reference.path)
            self._removals.remove(done)

    def purge(self, directory: Path, wanted_bytes: int) -> int:
        """Purge deletions on this file system, oldest first, to free this many bytes. Return the bytes
        freed."""
        device = os.stat(directory).st_dev
        before = shutil.disk_usage(directory).free
        freed = 0
        with self._lock:
            for done in self.removals:
                if freed >= wanted_bytes:
                    break
                if done.moved and os.stat(done.aside).st_dev == device:
                    removal.purge(done)
                    self._removals.remove(done)
                    freed = shutil.disk_usage(directory).free - before
        return freed

    def purge_all(self, roots: Iterable[Path]) -> None:
        """Purge all deletions, including those left by programs that crashed."""
        with self._lock:
            for done in self._removals:
                removal.purge(done)
            self._removals.clear()
        removal.sweep(roots)


def could_go(entries: Sequence[LibraryEntry], directory: Path, missing_bytes: int) -> str:
    """Return a sentence that suggests least recently used models to delete, to free this many bytes here.

    Return an empty text if there are none.
    """
    device = os.stat(directory).st_dev
    chosen: list[LibraryEntry] = []
    oldest_first = sorted(entries, key=lambda entry: entry.used.timestamp() if entry.used else 0.0)
    for entry in oldest_first:
        if missing_bytes <= 0:
            break
        # Deleting imported files would free nothing, and other programs' models are never deleted.
        if entry.origin in ("cache", "folder", "starter") and os.stat(entry.paths[0]).st_dev == device:
            chosen.append(entry)
            missing_bytes -= entry.size_bytes
    if not chosen:
        return ""
    named = ", ".join(f"{entry.name} ({in_bytes(entry.size_bytes)})" for entry in chosen[:_NAMED])
    more = f" and {len(chosen) - _NAMED} more" if len(chosen) > _NAMED else ""
    command = shlex.join(["spnl-chat", "rm", *(str(entry.reference) for entry in chosen[:_NAMED])])
    return f"Least recently used: {named}{more}. Delete models you do not need with `{command}`."
