"""Waiting for something to become true, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import psutil


async def wait_until(predicate: Callable[..., object], timeout: float = 20.0, what: str = "") -> None:
    """Return as soon as the predicate holds; it takes no argument but may have defaults, in a loop.

    Raises:
        AssertionError: it does not hold within `timeout` seconds.
    """
    end = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < end, f"not within {timeout} s: {what or predicate}"
        await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    """Return True if this process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
