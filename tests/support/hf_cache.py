"""A Hugging Face cache with synthetic contents, in huggingface_hub's layout."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path


def commit_of(number: int) -> str:
    """Return the commit hash of this number, always the same."""
    return hashlib.sha1(str(number).encode()).hexdigest()


def add_snapshot(
    cache: Path,
    repository: str,
    files: Mapping[str, bytes | Path],
    *,
    commit: str = commit_of(0),
    refs: tuple[str, ...] = ("main",),
) -> Path:
    """Put files into a snapshot as a download would, and return its path. Paths are linked, not copied."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True, exist_ok=True)
    (root / "blobs").mkdir(exist_ok=True)
    for name, content in files.items():
        key = str(content).encode() if isinstance(content, Path) else content
        blob = root / "blobs" / hashlib.sha256(key).hexdigest()
        if not blob.exists():
            if isinstance(content, Path):
                os.link(content, blob)
            else:
                blob.write_bytes(content)
        link = snapshot / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    for ref in refs:
        path = root / "refs" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)
    return snapshot
