"""The daily backup, made by another process while the interface runs."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_AFTER_S = 30.0
"""The start of the program must not wait for it, and a short run needs none."""


def back_up_later(config: Path) -> None:
    """Start the backup once the program has run for a while.

    It may read for seconds, and a process must open the store only once (storage/deferred.py).
    """
    timer = threading.Timer(_AFTER_S, _start, [config])
    timer.daemon = True
    timer.start()


def _start(config: Path) -> None:
    arguments = ["--config", str(config)] if config.exists() else []
    with suppress(OSError):  # out of processes or memory: tomorrow is another day
        subprocess.Popen(
            [sys.executable, "-m", "spnl_tui", *arguments, "history", "backup", "--daily"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
