"""Measures the disk space that programs use for models, and finds duplicates. Blocks, so call it in a
thread."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.hub.library.scan import LibraryEntry, Origin

_SAMPLES = 16
_SAMPLE_BYTES = 65_536
_LEAST_BYTES = 1_000_000
"""Duplicates smaller than this many bytes are not reported."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The models of one origin and the disk space they use."""

    origin: Origin
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Files with the same content that each take up disk space."""

    paths: tuple[Path, ...]
    bytes: int
    """The size of one copy."""


def usage_of(entries: Sequence[LibraryEntry]) -> list[Usage]:
    """Return the disk space that each origin uses, largest first. Files shared by entries count once."""
    sizes: dict[Origin, dict[str, int]] = defaultdict(dict)
    counts: dict[Origin, int] = defaultdict(int)
    for entry in entries:
        counts[entry.origin] += 1
        for path in entry.paths:
            sizes[entry.origin][os.path.realpath(path)] = path.stat().st_size
    found = [Usage(origin, counts[origin], sum(files.values())) for origin, files in sizes.items()]
    return sorted(found, key=lambda usage: -usage.bytes)


def duplicates_of(entries: Iterable[LibraryEntry]) -> list[Duplicates]:
    """Return the files that exist more than once, largest first.

    Files of equal size are compared by samples of 1 MB, because hashing gigabytes takes minutes. Hard links
    count as one file, because they use no extra space.
    """
    by_size: dict[int, dict[tuple[int, int], Path]] = defaultdict(dict)
    for path in {Path(os.path.realpath(path)) for entry in entries for path in entry.paths}:
        status = path.stat()
        if status.st_size >= _LEAST_BYTES:
            by_size[status.st_size].setdefault((status.st_dev, status.st_ino), path)
    found = []
    for size, files in by_size.items():
        same: dict[bytes, list[Path]] = defaultdict(list)
        for path in sorted(files.values()) if len(files) > 1 else ():
            same[_sampled(path, size)].append(path)
        found += [Duplicates(tuple(paths), size) for paths in same.values() if len(paths) > 1]
    return sorted(found, key=lambda each: -each.bytes)


def _sampled(path: Path, size: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.digest()
