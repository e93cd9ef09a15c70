"""Orders the requests of several clients: clients take turns, and each client's requests keep their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager


class Turn:
    """One request's place in the queue."""

    def __init__(self, client: Hashable) -> None:
        self.client = client
        self.admitted = False
        self.moved = asyncio.Event()
        """Set whenever the number of requests ahead of this one changes."""


class Turns:
    """Admits a limited number of requests at a time, taking them from the clients in rotation.

    A client with a thousand requests delays another client's first request only by those already admitted.
    """

    def __init__(self, limit: Callable[[], int]) -> None:
        """`limit` returns how many requests may run at the moment."""
        self._limit = limit
        self._running = 0
        self._waiting: dict[Hashable, deque[Turn]] = {}
        """The queues by client, beginning with the client whose turn is next."""

    @contextmanager
    def take(self, client: Hashable) -> Iterator[Turn]:
        """Join the queue on entry and leave it on exit. The caller waits until the turn is admitted."""
        turn = Turn(client)
        self._waiting.setdefault(client, deque()).append(turn)
        self._admit()
        try:
            yield turn
        finally:
            if turn.admitted:
                self._running -= 1
            else:
                self._remove(turn)
            self._admit()

    def ahead(self, turn: Turn) -> int:
        """Return how many requests run or will be admitted before this one."""
        clients = list(self._waiting)
        own = clients.index(turn.client)
        round = self._waiting[turn.client].index(turn)
        others = sum(
            min(len(self._waiting[client]), round + (place < own))
            for place, client in enumerate(clients)
            if place != own
        )
        return self._running + round + others

    def _admit(self) -> None:
        while self._waiting and self._running < self._limit():
            client, queue = next(iter(self._waiting.items()))
            turn = queue.popleft()
            del self._waiting[client]
            if queue:
                self._waiting[client] = queue  # at the end of the rotation
            turn.admitted = True
            turn.moved.set()
            self._running += 1
        for queue in self._waiting.values():
            for turn in queue:
                turn.moved.set()

    def _remove(self, turn: Turn) -> None:
        queue = self._waiting[turn.client]
        queue.remove(turn)
        if not queue:
            del self._waiting[turn.client]
