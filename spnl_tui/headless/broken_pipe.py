"""Handle a standard output whose reader is gone or that cannot be written any more."""

from __future__ import annotations

import os
import sys

BROKEN_PIPE = 141  # 128 + SIGPIPE: what the shell reports for a program that the signal ends


def discard_output() -> None:
    """Discard unwritten output, or the interpreter reports the failure again when it flushes the stream."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
