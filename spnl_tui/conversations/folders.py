"""Converts a directory to text for a prompt: its tree and its text files, up to a limit. Blocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from spnl_tui.errors import AttachmentError
from spnl_tui.text import in_bytes

MOST_BYTES = 256 << 10
"""The limit in bytes for all files of one directory together."""
MOST_FILES = 200
_MOST_ENTRIES = 5000
_LEFT_OUT = frozenset({"__pycache__", "node_modules", "venv", "target", "dist", "build"})
"""Skipped directories, which hold no files written by the user. Hidden ones are skipped, too."""


def read_folder(folder: Path, path: str, most_bytes: int = MOST_BYTES) -> str:
    """Return the directory as text. `path` is the path as typed; `most_bytes` limits all files together.

    Raises:
        AttachmentError: the directory has no text files.
    """
    tree: list[str] = []
    texts: list[str] = []
    left = min(most_bytes, MOST_BYTES)
    for entry in _walk(folder, ""):
        relative = entry.relative_to(folder).as_posix()
        if len(tree) >= _MOST_ENTRIES:
            tree.append("… and more")
            break
        if len(texts) >= MOST_FILES:
            tree.append(f"{relative} (not included: more than {MOST_FILES} files)")
            continue
        content, why = _text(entry, left)
        tree.append(relative if content is not None else f"{relative} (not included: {why})")
        if content is not None:
            left -= len(content.encode("utf-8", "surrogatepass"))
            texts.append(f"── {relative} ──\n{content.rstrip()}")
    if not texts:
        raise AttachmentError(
            f"{path} cannot be attached",
            "The directory has no text files.",
            "Choose a file or another directory.",
        )
    head = f"{len(texts)} of {len(tree)} files:"
    return "\n".join([head, *(f"- {line}" for line in tree)]) + "\n\n" + "\n\n".join(texts)


def _walk(folder: Path, below: str) -> Iterator[Path]:
    """Yield the files below a directory in order, without hidden files and without following links to
    directories."""
    try:
        entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    except OSError:  # the user may not read it
        return
    deeper: list[str] = []
    for entry in entries:
        if entry.name.startswith(".") or not entry.name.isprintable():
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _LEFT_OUT:
                deeper.append(entry.name)
        elif entry.is_file():
            yield Path(entry.path)
    for name in deeper:
        yield from _walk(folder, os.path.join(below, name))


def _text(file: Path, left: int) -> tuple[str | None, str]:
    """Return the text of a file and "", or None and why it is not included."""
    try:
        size = file.stat().st_size
        if size > left:
            return None, f"{in_bytes(size)}, over the limit of {in_bytes(MOST_BYTES)}"
        data = file.read_bytes()[: left + 1]
    except OSError as error:
        return None, error.strerror or "it cannot be read"
    if b"\0" in data:
        return None, "binary"
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n"), ""
    except UnicodeDecodeError:
        return None, "not UTF-8"
