"""A queue that admits requests in the order in which they asked."""

from __future__ import annotations

import asyncio
from collections import deque


class FairQueue:
    """Admits a number of requests at a time, first come, first served.

    Unlike a semaphore, it returns a place in the queue at once, so a request can report that it waits.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._someone_asked = asyncio.Event()

    def ask(self) -> asyncio.Future[None]:
        """Return a place in the queue; it is done once admitted. Always pass it to `leave` in the end."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._admit()
        self._someone_asked.set()
        return place

    def leave(self, place: asyncio.Future[None]) -> None:
        """Give up a place, admitted or not."""
        if not place.cancel() and not place.cancelled():
            self._free += 1
            self._admit()

    @property
    def wanted(self) -> bool:
        """True if a request waits for admission."""
        return any(not place.cancelled() for place in self._waiting)

    async def until_wanted(self) -> None:
        """Return as soon as a request waits for admission."""
        while not self.wanted:
            self._someone_asked.clear()
            await self._someone_asked.wait()

    def _admit(self) -> None:
        while self._free and self._waiting:
            place = self._waiting.popleft()
            if not place.cancelled():
                self._free -= 1
                place.set_result(None)
