"""Seeds, for an engine that has none.

mistral.rs starts its random numbers from one fixed state in every process on a CPU and draws one number
for each sampled token. So a state is reached by drawing and throwing away: the same number of discarded
tokens in a fresh process gives the same reply again, another number another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

STATES = 64
"""How many states seeds are spread over: each one further costs a token's time at the start."""

LAUNCH_STATES = 32
"""How many launches in a row start from states of their own."""


def discard_for_seed(seed: int) -> int:
    """How many tokens a fresh runner discards for this seed: 1 to `STATES`.

    Two seeds may share a state, and then give the same reply; one seed always gives the same.
    """
    return 1 + int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "big") % STATES


class LaunchCounter:
    """Counts runners over all launches of the program, so that no two in a row start alike."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def next(self) -> int:
        """How many tokens the next runner discards: 1 to `LAUNCH_STATES`, each in its turn."""
        try:
            last = int(self._file.read_text())
        except (OSError, ValueError):
            # First launch, or no state directory: variety then comes from the process id.
            last = os.getpid()
        count = last % LAUNCH_STATES + 1
        # No counter file means less variety, and is no reason to refuse a chat.
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._file.parent)
            with os.fdopen(handle, "w") as file:
                file.write(str(count))
            os.replace(name, self._file)
        return count
