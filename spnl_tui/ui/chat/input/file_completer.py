"""Completion of file paths after an "@"."""

from __future__ import annotations

import asyncio
import heapq
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from textual.dom import DOMNode

from spnl_tui.ui.chat.input.completion import Offer, Offers
from spnl_tui.ui.widgets.background import start

MAX_FILES = 10_000
"""The most files to look at in a directory, nearest first."""
_OFFERED = 50
_FRESH_S = 5.0
"""Seconds before a directory is read again."""
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "venv"})
"""Directories without files of the user's own, besides hidden ones."""
_BEGUN = re.compile(r'(?<![^\s(])@(?:"([^"\n]*)|([^\s"@]*))\Z')


class FileCompleter:
    """Offers the files below the working directory, or the entries of a path such as /etc/ or ../."""

    def __init__(self, node: DOMNode, found: Callable[[], None]) -> None:
        """Workers of `node` read directories; `found` is called when there is more to offer."""
        self._node = node
        self._found = found
        self._folder: Path | None = None
        self._files: list[str] = []
        self._read_at = -math.inf
        self._reading = False

    def __call__(self, before: str) -> Offers | None:
        """Return the files whose paths resemble the typed one."""
        match = _BEGUN.search(before)
        if match is None:
            return None
        typed = match[1] if match[1] is not None else match[2]
        outside = typed.startswith(("/", "~", ".."))
        base = typed[: typed.rfind("/") + 1] if outside else ""
        folder = Path.cwd() / Path(base).expanduser()
        if folder != self._folder:
            self._folder, self._files, self._read_at = folder, [], -math.inf
        if not self._reading and time.monotonic() - self._read_at > _FRESH_S:
            self._reading = True
            start(self._node, "files", self._read, folder, deep=not outside)
        ranked = best(typed[len(base) :], self._files)
        offers = [_offer(base + path) for _, path in ranked]
        return Offers(match.start(), offers, sure=bool(typed and ranked and ranked[0][0] < _SIMILAR))

    async def _read(self, folder: Path, *, deep: bool) -> None:
        files = await asyncio.to_thread(files_below if deep else entries_of, folder)
        self._reading = False
        if folder == self._folder:
            self._read_at = time.monotonic()
            if files == self._files:
                return
            self._files = files
        self._found()


def files_below(folder: Path) -> list[str]:
    """Return the files below a directory as relative paths, nearest first, without hidden ones.

    Links to directories are not followed; what cannot be read is left out.
    """
    files: list[str] = []
    level = [""]
    while level and len(files) < MAX_FILES:
        deeper: list[str] = []
        for inner in level:
            for name, is_directory in _list(folder / inner, links=False):
                if is_directory:
                    if name not in _LEFT_OUT:
                        deeper.append(f"{inner}{name}/")
                else:
                    files.append(f"{inner}{name}")
        level = deeper
    return files[:MAX_FILES]


def entries_of(folder: Path) -> list[str]:
    """Return the entries of a directory; directories end with "/"."""
    return [f"{name}/" if is_directory else name for name, is_directory in _list(folder, links=True)]


def _list(folder: Path, *, links: bool) -> list[tuple[str, bool]]:
    """Return the sorted names in a directory, with True for directories. `links`: include links to them."""
    try:
        with os.scandir(folder) as entries:
            seen = [
                (entry.name, entry.is_dir())
                for entry in entries
                if links or not (entry.is_symlink() and entry.is_dir())
            ]
    except OSError:  # not ours to read, or gone by now: there is nothing to offer
        return []
    return sorted((name, is_directory) for name, is_directory in seen if _can_be_typed(name))


def _can_be_typed(name: str) -> bool:
    return not name.startswith(".") and name.isprintable() and '"' not in name


_SIMILAR = 3
"""From this rank on, a path merely contains the typed letters."""


def best(typed: str, paths: list[str]) -> list[tuple[int, str]]:
    """Return the paths that contain the typed letters in order, with their ranks, the best first.

    Best are those whose file name begins with what was typed, then those whose name has it, then whose path
    has it; then those that have the letters apart.
    """
    typed = typed.casefold()
    letters = re.compile(".*?".join(map(re.escape, typed)), re.DOTALL)
    found: list[tuple[int, int, str]] = []
    for place, path in enumerate(paths):
        folded = path.casefold()
        if letters.search(folded):
            name = folded[folded.rfind("/", 0, -1) + 1 :]
            rank = 0 if name.startswith(typed) else 1 if typed in name else 2 if typed in folded else _SIMILAR
            # Among ties, the nearest: the paths are in that order.
            found.append((rank, place, path))
    return [(rank, path) for rank, _, path in heapq.nsmallest(_OFFERED, found)]


def _offer(path: str) -> Offer:
    from spnl_tui.conversations.attachments import mention  # the first paint needs no patterns of files

    return Offer(f"@{path}" if path.endswith("/") else f"{mention(path)} ", path)
