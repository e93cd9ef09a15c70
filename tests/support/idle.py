"""Let Textual's pilot continue as soon as the program is idle.

Textual's own pilot waits until the process has used almost no processor time for 20 ms, twice per key, which
was most of the time of interface tests. On a busy machine it also mistakes a program without a processor for
an idle one. This module asks the event loop: the program is idle when nothing is ready to run, no timer is
due within 20 ms and no thread works for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from textual import app, pilot
from textual._wait import SLEEP_GRANULARITY

_LOOK_S = 0.004
_TIMERS = 8
"""Timers that may follow each other; some repeat for ever. A busy machine takes longer for each."""
_WAITING = ("MainThread", "asyncio_", "ThreadPoolExecutor", "store-", "Thread-")
"""Threads that work only for a known future, or serve the loopback hub."""

_futures: set[asyncio.Future[Any]] = set()
"""Work of threads for an event loop."""

_earlier: set[threading.Thread] = set()
"""Threads left behind by other tests."""


@contextmanager
def prompt_pilot() -> Iterator[None]:
    """Within the context, which is one test, pilots continue as soon as the program is idle."""
    _futures.clear()
    _earlier.clear()
    _earlier.update(threading.enumerate())
    in_executor = asyncio.BaseEventLoop.run_in_executor

    def run_in_executor(self: asyncio.BaseEventLoop, *args: Any) -> asyncio.Future[Any]:
        future = in_executor(self, *args)
        _futures.add(future)
        future.add_done_callback(_futures.discard)
        return future

    with (
        patch.object(asyncio.BaseEventLoop, "run_in_executor", run_in_executor),
        patch.object(app, "wait_for_idle", wait_for_idle),
        patch.object(pilot, "wait_for_idle", wait_for_idle),
    ):
        yield


async def wait_for_idle(min_sleep: float = 0, max_sleep: float = 1) -> None:
    """Replace Textual's function of this name. `min_sleep` is ignored, because nothing is guessed."""
    loop: Any = asyncio.get_running_loop()
    began = resting = loop.time()
    quiet_turns = timers = 0
    awaited = 0.0
    while (now := loop.time()) < began + max_sleep:
        await asyncio.sleep(0)
        quiet_turns = 0 if loop._ready else quiet_turns + 1
        if quiet_turns == 0:
            resting = now
        if quiet_turns < 3:  # data from a socket or a thread is ready one iteration later
            continue
        due = min((timer.when() for timer in loop._scheduled if not timer.cancelled()), default=now + 1)
        if due > now + SLEEP_GRANULARITY or timers > _TIMERS:
            # A thread may wait for the next step of the test.
            if not _threads_work() or now > resting + SLEEP_GRANULARITY:
                return
            await asyncio.sleep(_LOOK_S)
        else:
            timers += due > awaited
            awaited = max(awaited, due)
            await asyncio.sleep(max(0.0, min(due - now, _LOOK_S)))
        quiet_turns = 1


def _threads_work() -> bool:
    threads = (thread for thread in threading.enumerate() if thread not in _earlier)
    return bool(_futures) or any(not thread.name.startswith(_WAITING) for thread in threads)
