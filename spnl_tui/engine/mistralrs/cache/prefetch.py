"""Prefetch on a runner: reads messages into a model's prefix cache before a reply to them is requested.

It reads the prompt while the user types it, and the last conversation again after its runner was replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from spnl_tui.engine.backend import FINAL, PrefillProgressed, ReplyFinished
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.engine.prefetch import Prefetch

LEAST_TOKENS = 64
"""The fewest tokens worth a prefetch; fewer are read quickly once they are sent."""
_LEAST_SHARE = 16
"""At least one token in this many must be new, because each prefetch adds a copy of the whole prompt to the
cache."""


class Reading:
    """A prefetch in progress on the runner."""

    def __init__(self, prefetch: Prefetch) -> None:
        self.prefetch = prefetch
        self.progress: PrefillProgressed | None = None
        """None before the first step."""
        self.dropped = asyncio.Event()
        """Set when a waiting request cannot use the prefetch: end it, if need be with the runner's
        process."""

    def make_way(self, prompt: wire.Prompt) -> PrefillProgressed | None:
        """Stop the prefetch because a request with this prompt waits; set `dropped` if it cannot use the
        prefetch.

        Return the progress if the prompt begins with the prefetched messages, else None.
        """
        self.prefetch.stop()
        if isinstance(prompt, wire.Chat) and self.prefetch.serves(prompt.messages):
            return self.progress
        if not (isinstance(prompt, wire.Chat) and prompt.ephemeral):
            self.dropped.set()
        return None


@asynccontextmanager
async def place_for(prefetch: Prefetch, queue: FairQueue) -> AsyncIterator[bool]:
    """Wait for admission. Yields False if the prefetch was stopped or a request waits."""
    place = queue.ask()
    stopped = asyncio.create_task(prefetch.stopped.wait())
    try:
        either: list[asyncio.Future[Any]] = [place, stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        yield place.done() and not prefetch.stopped.is_set() and not queue.wanted
    finally:
        stopped.cancel()
        queue.leave(place)


def is_worth_it(new: float, total: float) -> bool:
    """Return True if a prefetch of `total` tokens pays, of which `new` are not in the cache yet."""
    return new >= LEAST_TOKENS and new * _LEAST_SHARE >= total


async def read(
    process: RunnerProcess, reading: Reading, queue: FairQueue, *, room: int | None, patience: float
) -> bool:
    """Make the runner read the messages into its cache; return True if it read them all.

    The runner stops after its current step when a request waits. If that takes longer than `patience` seconds
    and the waiting request cannot use the prefetch, the process is ended, because nothing else stops a
    prefill.
    """
    prefetch = reading.prefetch
    command_id = process.next_id()
    events = process.subscribe(command_id)

    async def make_way() -> None:
        await queue.until_wanted()
        prefetch.stop()

    async def stop() -> None:
        await prefetch.stopped.wait()
        await process.send(wire.Cancel(id=process.next_id(), target=command_id))
        await reading.dropped.wait()
        await asyncio.sleep(patience)
        await process.end()

    watching = [asyncio.create_task(make_way()), asyncio.create_task(stop())]
    try:
        await process.send(
            wire.ReadAhead(
                id=command_id,
                messages=prefetch.messages,
                tools=prefetch.tools,
                sampling=prefetch.sampling,
                prefill_room=room,
            )
        )
        while not isinstance(event := await events.get(), (*FINAL, wire.RunnerEnded)):
            if isinstance(event, PrefillProgressed):
                begun, reading.progress = reading.progress is not None, event
                if begun:
                    prefetch.on_progress(event.done, event.total)
        return isinstance(event, ReplyFinished) and event.finish_reason != "cancelled"
    finally:
        for task in watching:
            task.cancel()
        process.unsubscribe(command_id)
