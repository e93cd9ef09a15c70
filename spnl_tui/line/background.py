"""Background work as tasks of the event loop; see `chat.services.Background`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class TaskBackground:
    """Starts work in named groups, and hands its exceptions to the caller of `check`."""

    def __init__(self, ended: Callable[[], None]) -> None:
        """`ended` is called after each task."""
        self._ended = ended
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._failed: list[BaseException] = []

    def start(
        self, group: str, work: Callable[..., Coroutine[Any, Any, None]], *args: Any, **kwargs: Any
    ) -> None:
        """Run `work(…)` as a task."""
        task = asyncio.ensure_future(work(*args, **kwargs))
        self._tasks[task] = group
        task.add_done_callback(self._done)

    def restart(self, group: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work()` as the only task of its group."""
        self.cancel(group)
        self.start(group, work)

    def cancel(self, group: str) -> None:
        """Cancel the tasks of this group."""
        for task, name in self._tasks.items():
            if name == group:
                task.cancel()

    def check(self) -> None:
        """Raise the first exception of a task that has failed since the last call."""
        if self._failed:
            failed, self._failed = self._failed, []
            raise failed[0]

    async def close(self) -> None:
        """Cancel all tasks and wait for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed.append(error)
        self._ended()
