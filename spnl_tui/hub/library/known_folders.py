"""Remembers the models of folders, so that listing them again costs no more than a walk. Blocks."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

_T = TypeVar("_T")
_State = list[tuple[str, tuple[int, ...], int]]


class KnownFolders(Generic[_T]):
    """The results of scanning folders, valid while the files keep their names, sizes and times."""

    def __init__(self) -> None:
        self._found: dict[Hashable, tuple[_State, tuple[_T, ...]]] = {}

    def get(
        self, key: Hashable, files: Sequence[os.DirEntry[str]], scan: Callable[[], Iterable[_T]]
    ) -> tuple[_T, ...]:
        """Return the results for a folder with these files. Call `scan` only if a file has changed."""
        state = [_state_of(file) for file in files]
        if (known := self._found.get(key)) is not None and known[0] == state:
            return known[1]
        found = tuple(scan())
        # The scan itself may change the times of access. If a file changed otherwise, scan again next time.
        after = [_state_of(file) for file in files]
        same = [each[:2] for each in state] == [each[:2] for each in after]
        self._found[key] = (after if same else state), found
        return found


def _state_of(file: os.DirEntry[str]) -> tuple[str, tuple[int, ...], int]:
    """Return the name, the identity of the content, and the time of access, which is displayed."""
    try:
        status = os.stat(file.path)  # file.stat() would return the earlier status again
    except OSError:  # a broken link
        return file.name, (), 0
    return file.name, (status.st_size, status.st_mtime_ns, status.st_ino), status.st_atime_ns
