"""Several replies to one prompt as one request to the engine, which is prepared once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from spnl_tui.conversations.turn import Provenance
from spnl_tui.engine.backend import (
    Backend,
    ChatRequest,
    Event,
    ModelHandle,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    RequestQueued,
)
from spnl_tui.models.request import Message, Sampling


class Prepared(NamedTuple):
    """What is sent for a reply, and what is kept with it."""

    messages: tuple[Message, ...]
    sampling: Sampling
    provenance: Provenance


class SharedRequest:
    """One request for n replies, each of which is followed by somebody else.

    Whoever comes first prepares it, at the `door`, while the others wait; then it begins for all. A reply
    that is left before its end is not wanted any more.
    """

    def __init__(self, engine: Backend, n: int) -> None:
        self.door = asyncio.Lock()
        self.prepared: Prepared | None = None
        """What was sent; None: it has not begun."""
        self._engine = engine
        self._queues: list[asyncio.Queue[Event]] = [asyncio.Queue() for _ in range(n)]
        self._open = set(range(n))
        """Replies that have not ended, and that are followed or may still be."""
        self._silent = set(range(n))
        """Replies of which nothing has come."""
        self._work: asyncio.Task[None] | None = None

    def begin(self, model: ModelHandle, prepared: Prepared, *, thinking: bool | None) -> None:
        """Send it."""
        self.prepared = prepared
        request = ChatRequest(
            messages=prepared.messages,
            sampling=prepared.sampling,
            n=len(self._queues),
            thinking=thinking,
            is_wanted=lambda candidate: candidate in self._open,
        )
        self._work = asyncio.create_task(self._hand_out(self._engine.generate(model, request)))

    async def reply(self, candidate: int) -> AsyncGenerator[Event, None]:
        """The events of this reply, and those of the request while it is the next to come."""
        if candidate != min(self._silent, default=0):
            yield RequestQueued(ahead=0)
        while True:
            event = await self._queues[candidate].get()
            yield event
            if isinstance(event, ReplyFinished | RequestFailed):
                return

    async def leave(self, candidate: int) -> None:
        """Nobody follows this reply any more; the request ends with the last."""
        self._open.discard(candidate)
        self._silent.discard(candidate)
        if not self._open and self._work is not None:
            self._work.cancel()
            await asyncio.wait({self._work})

    async def _hand_out(self, events: AsyncGenerator[Event, None]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, ReplyChunk | ReplyFinished | RequestFailed):
                        self._silent.discard(event.candidate)
                        self._queues[event.candidate].put_nowait(event)
                    elif self._silent:
                        # The engine does not say whose prefill it is: it is that of the next.
                        self._queues[min(self._silent)].put_nowait(event)
        finally:
            # For whoever still waits: the engine promises an end for each, but may itself have failed.
            for queue in self._queues:
                queue.put_nowait(RequestFailed(kind="internal", title="The reply broke off"))
