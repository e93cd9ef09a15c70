"""Reading ahead: messages go into a model's prefix cache before anybody asks for a reply to them.

The last conversation is read again when its runner was replaced, and what is being typed is read while it is.
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
"""Fewer are read quickly enough when they are sent."""
_LEAST_SHARE = 16
"""Of all that is read one part in so many must be new: the cache gets another copy of the whole."""


class Reading:
    """A prefetch that the runner works on."""

    def __init__(self, prefetch: Prefetch) -> None:
        self.prefetch = prefetch
        self.progress: PrefillProgressed | None = None
        """None before the first step."""
        self.dropped = asyncio.Event()
        """Set when a request waits that has no use for what is read: end it at any price."""

    def make_way(self, prompt: wire.Prompt) -> PrefillProgressed | None:
        """Stop for this prompt, which waits; drop the reading unless the prompt begins with it.

        Returns the progress if the prompt itself is being read here.
        """
        self.prefetch.stop()
        if isinstance(prompt, wire.Chat) and self.prefetch.serves(prompt.messages):
            return self.progress
        if not (isinstance(prompt, wire.Chat) and prompt.ephemeral):
            self.dropped.set()
        return None


@asynccontextmanager
async def turn_of(prefetch: Prefetch, turns: FairQueue) -> AsyncIterator[bool]:
    """Wait for a turn. The value is False if it is no longer wanted or a request waits."""
    turn = turns.ask()
    stopped = asyncio.create_task(prefetch.stopped.wait())
    try:
        either: list[asyncio.Future[Any]] = [turn, stopped]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        yield turn.done() and not prefetch.stopped.is_set() and not turns.wanted
    finally:
        stopped.cancel()
        turns.leave(turn)


def is_worth_it(new: float, total: float) -> bool:
    """Whether to read so many tokens ahead, of which so many are not in the cache yet."""
    return new >= LEAST_TOKENS and new * _LEAST_SHARE >= total


async def read(
    process: RunnerProcess, reading: Reading, turns: FairQueue, *, room: int | None, patience: float
) -> bool:
    """Have the runner read these messages; whether it came to their end.

    It stops after the step that it is in when somebody waits for a turn. If that takes it longer than
    `patience` seconds, and whoever waits has no use for it, the process is ended, for nothing else stops a
    prefill.
    """
    prefetch = reading.prefetch
    command_id = process.next_id()
    events = process.subscribe(command_id)

    async def make_way() -> None:
        await turns.until_wanted()
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
                id=command_id, messages=prefetch.messages, sampling=prefetch.sampling, prefill_room=room
            )
        )
        while not isinstance(event := await events.get(), (*FINAL, wire.RunnerEnded)):
            if isinstance(event, PrefillProgressed):
                begun, reading.progress = reading.progress is not None, event
                if begun:
                    prefetch.on_progress(event)
        return isinstance(event, ReplyFinished) and event.finish_reason != "cancelled"
    finally:
        for task in watching:
            task.cancel()
        process.unsubscribe(command_id)
