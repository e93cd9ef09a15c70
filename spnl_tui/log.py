"""The program's log file."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path


class _LogFile(logging.handlers.RotatingFileHandler):
    """A log that stops silently on a full disk: the program itself reports that the disk is full."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record. The default prints a traceback for each one on standard error."""


def start_log(file: Path) -> None:
    """Log to this file from now on, in at most three files of 2 MB; log nothing if it cannot be written."""
    root = logging.getLogger("spnl_tui")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler: logging.Handler = _LogFile(
            file, maxBytes=2_000_000, backupCount=2, encoding="utf-8", delay=True
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.handlers = [handler]
    root.setLevel(logging.INFO)
