"""Who goes first: requests are let in in the order in which they asked."""

from __future__ import annotations

import asyncio
from collections import deque


class FairQueue:
    """Lets a number of requests in at a time.

    Unlike a semaphore it can be asked without waiting, so that a request keeps its place while it tells
    that it is queued.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._asked: deque[asyncio.Future[None]] = deque()
        self._someone_asked = asyncio.Event()

    def ask(self) -> asyncio.Future[None]:
        """A turn, which is done once it has come. Give it to `leave` in the end, come or not."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(turn)
        self._let_in()
        self._someone_asked.set()
        return turn

    def leave(self, turn: asyncio.Future[None]) -> None:
        """The turn is over, or no longer wanted."""
        if not turn.cancel() and not turn.cancelled():
            self._free += 1
            self._let_in()

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a turn."""
        return any(not turn.cancelled() for turn in self._asked)

    async def until_wanted(self) -> None:
        """Return as soon as somebody waits for a turn."""
        while not self.wanted:
            self._someone_asked.clear()
            await self._someone_asked.wait()

    def _let_in(self) -> None:
        while self._free and self._asked:
            turn = self._asked.popleft()
            if not turn.cancelled():
                self._free -= 1
                turn.set_result(None)
