"""Provides seeds for an engine that has none.

On a CPU mistral.rs starts its random numbers from the same state in every process and draws one number for
each sampled token. Discarding tokens therefore sets the state: after the same number of discarded tokens a
new process gives the same reply, after another number another reply.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

STATES = 64
"""The number of different seeds. Each costs up to the time of one more token at the start."""

LAUNCH_STATES = 32
"""The number of launches in a row that start from different states."""


def discard_for_seed(seed: int) -> int:
    """Return how many tokens a new runner discards for this seed: 1 to `STATES`.

    Two seeds may share a state and so give the same reply; one seed always gives the same reply.
    """
    return 1 + int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "big") % STATES


class LaunchCounter:
    """Counts runners across launches of the program, so that consecutive runners give different replies."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def next(self) -> int:
        """Return how many tokens the next runner discards: 1 to `LAUNCH_STATES`, in turn."""
        try:
            last = int(self._file.read_text())
        except (OSError, ValueError):
            # Without a saved count, use the process id.
            last = os.getpid()
        count = last % LAUNCH_STATES + 1
        # Without a counter file replies only vary less.
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(handle, "w") as file:
                file.write(str(count))
            os.replace(name, self._file)
        return count
