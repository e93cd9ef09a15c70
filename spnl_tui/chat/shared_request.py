"""One request to the engine for several replies to the same prompt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
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
    """The request for a reply, and the provenance that is kept with it."""

    messages: tuple[Message, ...]
    sampling: Sampling
    provenance: Provenance


class SharedRequest:
    """One request for n replies, each of which another caller follows.

    The first caller prepares the request while the others wait at the `door`. Then it begins for all. A reply
    that its caller leaves early is dropped.
    """

    def __init__(self, engine: Backend, n: int) -> None:
        self.door = asyncio.Lock()
        self.prepared: Prepared | None = None
        """The request that was sent; None before that."""
        self._engine = engine
        self._queues: list[asyncio.Queue[Event]] = [asyncio.Queue() for _ in range(n)]
        self._open = set(range(n))
        """Replies that have not ended and are still wanted."""
        self._silent = set(range(n))
        """Replies that have not begun."""
        self._parallel = False
        self._work: asyncio.Task[None] | None = None

    def begin(self, model: ModelHandle, prepared: Prepared, *, thinking: bool | None) -> None:
        """Send the request."""
        self.prepared = prepared
        self._parallel = model.capabilities.parallel
        request = ChatRequest(
            messages=prepared.messages,
            sampling=prepared.sampling,
            n=len(self._queues),
            thinking=thinking,
            is_wanted=lambda candidate: candidate in self._open,
        )
        self._work = asyncio.create_task(self._hand_out(self._engine.generate(model, request)))

    async def reply(self, candidate: int) -> AsyncGenerator[Event, None]:
        """Yield the events of this reply, and those of the request while this reply is about to begin."""
        if not self._parallel and candidate != min(self._silent, default=0):
            yield RequestQueued(ahead=0)
        while True:
            event = await self._queues[candidate].get()
            yield event
            if isinstance(event, ReplyFinished | RequestFailed):
                return

    async def leave(self, candidate: int) -> None:
        """Drop this reply. The request ends when no reply is wanted any more."""
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
                    elif self._parallel:
                        for candidate in self._silent:
                            self._queues[candidate].put_nowait(event)
                    elif self._silent:
                        # The engine does not say which reply a prefill is for: it is for the next one.
                        self._queues[min(self._silent)].put_nowait(event)
        finally:
            # End the replies that are still awaited: the engine promises an end for each, but may fail.
            for queue in self._queues:
                queue.put_nowait(RequestFailed(kind="internal", title="The reply broke off"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """The differences of one of several requests for the same prompt from a plain one."""

    model: ModelHandle | None = None
    """The model to ask instead of the current one."""
    sampling: Sampling | None = None
    """Used instead of the conversation's."""
    messages: tuple[Message, ...] | None = None
    """Sent instead of the branch."""
    turns: asyncio.Lock | None = None
    """Held during the request: requests that share it run one after the other."""
    shared: SharedRequest | None = None
    """The request to the engine that several candidates share."""
    candidate: int = 0
    """The number of this candidate in `shared`, from 0."""
