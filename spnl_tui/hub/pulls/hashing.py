"""Computes a file's hash in a thread of its own while more data arrives.

Hashing lets other threads run (hashlib releases the GIL), and takes about as long as receiving and writing.
"""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from spnl_tui.hub.access import RemoteFile

_AT_ONCE = 1 << 20
"""Bytes given to the hashing thread at once; smaller blocks would cost more."""
_BEHIND = 8
"""The most blocks that may wait for the hash, which limits memory. Then the transfer waits."""


class Hasher:
    """Computes the hub's hash of a file. Use it as a context manager, which ends the thread."""

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
        """Hash the next bytes."""
        self._buffer += block
        if len(self._buffer) >= _AT_ONCE:
            self._hand_over()

    def matches(self) -> bool:
        """Return True if the received data has the hub's hash. Waits until all data is hashed."""
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
