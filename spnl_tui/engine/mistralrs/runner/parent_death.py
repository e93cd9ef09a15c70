"""Ends the runner when its parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys


def die_with_parent(parent: int) -> None:
    """Ask Linux to end this process when its parent ends, for whatever reason.

    On other systems the end of standard input ends it, but not during a load, which holds the GIL.
    """
    if sys.platform == "linux":
        # PR_SET_PDEATHSIG is 1: prctl(2).
        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the call
            os._exit(1)
