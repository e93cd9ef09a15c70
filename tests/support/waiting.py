"""Waiting for what will be so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def wait_until(predicate: Callable[[], object], timeout: float = 10.0) -> None:
    """Return as soon as the predicate holds; fail if it does not within `timeout` seconds."""
    limit = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < limit, "what was waited for did not come"
        await asyncio.sleep(0.005)
