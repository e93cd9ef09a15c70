"""The program's log file."""

from __future__ import annotations

import logging
from pathlib import Path


class _LogFile(logging.Handler):
    """A log of at most three files of 2 MB. The first record opens it, because many commands log nothing.

    It stops silently on a full disk: the program itself reports that the disk is full.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._writer: logging.Handler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record."""
        if self._writer is None:
            from logging.handlers import RotatingFileHandler  # 20 ms

            self._writer = RotatingFileHandler(
                self._file, maxBytes=2_000_000, backupCount=2, encoding="utf-8", delay=True
            )
            # The default prints a traceback for each record on standard error.
            self._writer.handleError = lambda record: None  # type: ignore[method-assign]
            self._writer.setFormatter(self.formatter)
        self._writer.emit(record)

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
        super().close()


def start_log(file: Path) -> None:
    """Log to this file from now on, in at most three files of 2 MB; log nothing if it cannot be written."""
    root = logging.getLogger("spnl_tui")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = _LogFile(file)
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers = [handler]
    root.setLevel(logging.INFO)
