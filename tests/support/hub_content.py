"""Repositories of the loopback hub and the contents of their files."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

BLOCK = 1 << 20

_LFS_SUFFIXES = (".gguf", ".safetensors", ".bin", ".model", ".pt", ".pth")


_hashes: dict[tuple[int, ...], str] = {}
"""The SHA-256 of files on disk, by device, inode, time and size."""


def hash_of(content: Content) -> str:
    """Return the SHA-256 of the content."""
    digest = hashlib.sha256()
    for block in content.blocks():
        digest.update(block)
    return digest.hexdigest()


class Content:
    """The bytes of one file: in memory, on disk, or generated."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, start: int, count: int) -> bytes:
        """Return `count` bytes from `start`, or fewer at the end."""
        return self._data[start : start + count]

    def blocks(self, start: int = 0, stop: int | None = None, block: int = BLOCK) -> Iterator[bytes]:
        """Yield the bytes from `start` to `stop` in pieces."""
        end = self.size if stop is None else stop
        for position in range(start, end, block):
            yield self.read(position, min(block, end - position))

    @cached_property
    def sha256(self) -> str:
        return hash_of(self)

    @cached_property
    def git_sha1(self) -> str:
        """Return the git blob id of these bytes."""
        digest = hashlib.sha1(f"blob {self.size}\0".encode())
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


class Pattern(Content):
    """A big file without memory cost: a repeated random block, stamped with its number each time.

    Every block differs, so a misplaced byte changes the hash. The file begins as a GGUF does, which a pull
    checks.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        super().__init__(random.Random(seed).randbytes(BLOCK))
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    def read(self, start: int, count: int) -> bytes:
        pieces = []
        stop = min(start + count, self._size)
        while start < stop:
            number, offset = divmod(start, BLOCK)
            stamp = number.to_bytes(8, "big") if number else b"GGUF" + bytes(4)
            piece = (stamp + self._data[8:])[offset : offset + stop - start]
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)


class DiskContent(Content):
    """A file on this disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(b"")
        self.path = path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def sha256(self) -> str:  # many tests use the same file, so it is hashed once
        state = self.path.stat()
        key = state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size
        if key not in _hashes:
            _hashes[key] = hash_of(self)
        return _hashes[key]

    def read(self, start: int, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(count)


FileLike = Content | bytes | str | Path


@dataclass
class HubFile:
    """One file of a commit."""

    content: Content
    lfs: bool

    @property
    def etag(self) -> str:
        return self.content.sha256 if self.lfs else self.content.git_sha1


@dataclass
class Repository:
    """A model repository. `commits` are its trees by hash, `refs` its branches and tags."""

    id: str
    gated: bool = False
    private: bool = False
    granted: set[str] = field(default_factory=set)
    """Tokens with access to a gated or private repository."""
    info: dict[str, Any] = field(default_factory=dict)
    """Its properties in the API: downloads, likes, tags, gguf, …"""
    commits: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(
        self,
        files: Mapping[str, FileLike],
        *,
        revision: str = "main",
        remove: tuple[str, ...] = (),
        lfs: bool | None = None,
    ) -> str:
        """Add or replace files on a branch, and return the new commit's hash.

        As on the hub, model files go to large file storage and others to git, unless `lfs` says otherwise.
        """
        tree = dict(self.commits.get(self.refs.get(revision, ""), {}))
        for path in remove:
            del tree[path]
        for path, data in files.items():
            tree[path] = HubFile(_content(data), path.endswith(_LFS_SUFFIXES) if lfs is None else lfs)
        listing = "".join(f"{path} {file.etag}\n" for path, file in sorted(tree.items()))
        commit = hashlib.sha1(f"{self.id} {len(self.commits)}\n{listing}".encode()).hexdigest()
        self.commits[commit] = tree
        self.refs[revision] = commit
        return commit

    @property
    def head(self) -> str:
        """Return the commit of main."""
        return self.refs["main"]

    def resolve(self, revision: str) -> str | None:
        """Return the full hash of a branch, tag, commit, or prefix of a commit."""
        if revision in self.refs:
            return self.refs[revision]
        if len(revision) < 5:
            return None
        return next((commit for commit in self.commits if commit.startswith(revision)), None)


def _content(data: FileLike) -> Content:
    if isinstance(data, Content):
        return data
    if isinstance(data, Path):
        return DiskContent(data)
    return Content(data.encode() if isinstance(data, str) else data)
