"""Flushes a file to the disk while more data arrives, so that the final wait is short."""

from __future__ import annotations

import os
import threading
from io import FileIO

_AT_ONCE = 64 << 20
"""Bytes after which the system is asked to write them to the disk."""


class Flusher:
    """Flushes a file in background threads, which do not keep the program from ending."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._error: OSError | None = None

    def wrote(self, count: int) -> None:
        """Record that `count` more bytes were written.

        Raises:
            OSError: the disk has failed to store earlier data.
        """
        self._waiting += count
        if self._waiting >= _AT_ONCE and (self._thread is None or not self._thread.is_alive()):
            self._check()
            self._waiting = 0
            # Duplicate the descriptor, because the file may be closed meanwhile.
            descriptor = os.dup(self._file.fileno())
            self._thread = threading.Thread(target=self._flush, args=(descriptor,), name="flush", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Wait until all data is on the disk.

        Raises:
            OSError: the disk has failed to store some data.
        """
        if self._thread is not None:
            self._thread.join()
        self._check()
        os.fsync(self._file.fileno())

    def _flush(self, descriptor: int) -> None:
        try:
            os.fsync(descriptor)
        except OSError as error:
            self._error = error
        finally:
            os.close(descriptor)

    def _check(self) -> None:
        # The system reports an error only once, and the thread has received it.
        if self._error is not None:
            raise self._error
