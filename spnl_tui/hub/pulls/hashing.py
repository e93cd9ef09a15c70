"""A hash that is computed in its own thread while the next bytes arrive.

Hashing lets other threads run (hashlib releases the GIL), and costs about as much as receiving and writing.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from spnl_tui.hub.access import RemoteFile

_AT_ONCE = 1 << 20
"""Bytes that are handed over together: handing over has its price, too."""
_BEHIND = 8
"""So many of those may wait, or what comes waits for the hash. They bound the memory."""


class Hasher:
    """The hash by which the hub knows a file. Use it as a context: leaving it ends the thread."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, f"hash {file.path}")
        self.restart()

    def restart(self) -> None:
        """Start again from the first byte."""
        self._digest: Any = _digest_of(self._file)
        self._buffer = bytearray()
        self._pending: deque[Future[None]] = deque()

    def update(self, block: bytes) -> None:
        """Add the next bytes."""
        self._buffer += block
        if len(self._buffer) >= _AT_ONCE:
            self._hand_over()

    def matches(self) -> bool:
        """Return True if the received data is the hub's whole file. Waits for the hash."""
        self._hand_over()
        for each in self._pending:
            each.result()
        return bool(self._digest.hexdigest() == self._file.etag)

    def _hand_over(self) -> None:
        block, self._buffer = self._buffer, bytearray()
        self._pending.append(self._thread.submit(self._digest.update, block))
        while len(self._pending) > _BEHIND:
            self._pending.popleft().result()

    def __enter__(self) -> Hasher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _digest_of(file: RemoteFile) -> Any:
    if file.lfs:
        return hashlib.sha256()
    return hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
