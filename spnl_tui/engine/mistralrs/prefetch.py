"""Reading ahead: messages go into a model's prefix cache before anybody asks for a reply to them.

The last conversation is read again when its runner was replaced, and what is being typed is read while it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from spnl_tui.engine.fair_queue import Turns
from spnl_tui.engine.mistralrs import wire
from spnl_tui.engine.mistralrs.growth import Prompt
from spnl_tui.engine.mistralrs.prefill import characters, common_characters
from spnl_tui.engine.mistralrs.runner_process import RunnerProcess
from spnl_tui.models.request import Message, Sampling

FINAL = (wire.ReplyFinished, wire.RequestFailed)
LEAST_TOKENS = 64
"""Fewer are read quickly enough when they are sent."""
_LEAST_SHARE = 16
"""Of all that is read one part in so many must be new: the cache gets another copy of the whole."""

OnProgress = Callable[[wire.PrefillProgressed], None]
"""Told of each step but the last."""


def _ignore(progress: wire.PrefillProgressed) -> None:
    """Nobody watches."""


class Reading:
    """Messages that are to be read ahead, while they wait for that, and while they are read."""

    def __init__(
        self, messages: Sequence[Message], sampling: Sampling, on_progress: OnProgress = _ignore
    ) -> None:
        """`sampling` is that of the request which is expected."""
        self.messages = tuple(messages)
        self.sampling = sampling
        self.on_progress = on_progress
        self.progress: wire.PrefillProgressed | None = None
        """How far it has come; None before it began."""
        self.ended = asyncio.Event()
        self.stopped = asyncio.Event()
        self.dropped = asyncio.Event()

    def stop(self) -> None:
        """They are not wanted any more. The step that the runner is in goes on to its end."""
        self.stopped.set()

    def make_way(self, prompt: Prompt) -> wire.PrefillProgressed | None:
        """This prompt waits: stop, and where it does not begin with what is read, at any price.

        Returns how far it has come with the prompt, if it is read here.
        """
        self.stop()
        if isinstance(prompt, wire.Chat) and self.serves(prompt.messages):
            return self.progress
        if not (isinstance(prompt, wire.Chat) and prompt.aside):
            self.dropped.set()
        return None

    @asynccontextmanager
    async def turn(self, turns: Turns) -> AsyncIterator[bool]:
        """Wait for a turn; whether one came while it was still wanted, and nobody else waits for it."""
        turn = turns.ask()
        stopped = asyncio.create_task(self.stopped.wait())
        try:
            either: list[asyncio.Future[Any]] = [turn, stopped]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            yield turn.done() and not self.stopped.is_set() and not turns.wanted
        finally:
            stopped.cancel()
            turns.leave(turn)

    def serves(self, messages: Sequence[Message]) -> bool:
        """Whether most of what is read is the beginning of these."""
        return 2 * common_characters(self.messages, messages) >= characters(self.messages)


def is_worth_it(new: float, total: float) -> bool:
    """Whether to read so many tokens ahead, of which so many are not in the cache yet."""
    return new >= LEAST_TOKENS and new * _LEAST_SHARE >= total


async def read(
    process: RunnerProcess, reading: Reading, turns: Turns, *, room: int | None, patience: float
) -> bool:
    """Have the runner read these messages; whether it came to their end.

    It stops after the step that it is in when somebody waits for a turn. If that takes it longer than
    `patience` seconds, and whoever waits has no use for it, the process is ended, for nothing else stops a
    prefill.
    """
    command_id = process.next_id()
    events = process.subscribe(command_id)

    async def make_way() -> None:
        await turns.until_wanted()
        reading.stop()

    async def stop() -> None:
        await reading.stopped.wait()
        await process.send(wire.Cancel(id=process.next_id(), target=command_id))
        await reading.dropped.wait()
        await asyncio.sleep(patience)
        await process.end()

    watching = [asyncio.create_task(make_way()), asyncio.create_task(stop())]
    try:
        await process.send(
            wire.ReadAhead(
                id=command_id, messages=reading.messages, sampling=reading.sampling, prefill_room=room
            )
        )
        while not isinstance(event := await events.get(), (*FINAL, wire.RunnerEnded)):
            if isinstance(event, wire.PrefillProgressed):
                begun, reading.progress = reading.progress is not None, event
                if begun:
                    reading.on_progress(event)
        return isinstance(event, wire.ReplyFinished) and event.finish_reason != "cancelled"
    finally:
        for task in watching:
            task.cancel()
        process.unsubscribe(command_id)
