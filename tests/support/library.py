"""Helpers for tests of the library: its list, unreadable folders, and the files on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spnl_tui.hub.library.library import Library


async def names(library: Library) -> list[str]:
    """Return the listed models by name, and check that everything was readable."""
    listing = await library.listing()
    assert listing.problems == ()
    return [entry.name for entry in listing.entries]


def close_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this folder unreadable, even for root."""
    real = os.scandir

    def scandir(path: str | Path) -> object:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def tree(root: Path) -> dict[str, str]:
    """Return every file and link below the root, with its content or target."""
    found = {}
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            inside = str(path.relative_to(root))
            found[inside] = os.readlink(path) if path.is_symlink() else path.read_bytes().decode("latin-1")
    return found
