"""The queue of pulls: parallel up to a limit, pausable, reorderable, cancellable and persistent.

queue = PullQueue(paths.state / "downloads.json")
queue.restore()                       # the last run's pulls; `go_on()` resumes them
id = queue.add(PullRequest(...), name="qwen3:1.7b")
async for event in queue.events():    # at most ten a second, with all pulls in each
    ...
await queue.close()                   # at most two seconds; received data is kept
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from spnl_tui.errors import PullError, SpnlError, cause_of
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.pull import (
    DiskFullError,
    Pull,
    PullFinished,
    PullOptions,
    PullRequest,
    RateLimit,
    drop_parts,
)
from spnl_tui.hub.pulls.queue_file import QueueFile
from spnl_tui.hub.pulls.queued_pull import Entry, PullsChanged, QueuedPull, remembered, snapshot

_log = logging.getLogger(__name__)

_INTERVAL_S = 0.1


@dataclass(slots=True)
class _Cancelled:
    entry: Entry
    index: int
    drop: bool
    timer: asyncio.Task[None] | None = None


@dataclass(slots=True, eq=False)
class _Subscriber:
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[QueuedPull] = field(default_factory=list)


class PullQueue:
    """The queue of pulls. Call all methods on one event loop; the pulls run in threads.

    `limit` is how many pulls run at once, each with `options.connections` files at a time. `rate` may be
    shared and changed at any time. Without a network, a queued pull stays stalled and retries instead of
    giving up, unless `options` say otherwise.
    """

    def __init__(
        self,
        state_file: Path,
        *,
        hub: HubAccess | None = None,
        cache: Path | None = None,
        options: PullOptions | None = None,
        rate: RateLimit | None = None,
        limit: int = 2,
        undo_s: float = 60.0,
    ) -> None:
        self.rate = rate or RateLimit()
        self.notice = ""
        """Why the queue cannot be saved or could not be read, as plain text; empty if there is no problem."""
        self._file = QueueFile(state_file)
        self._hub = hub or HubAccess()
        self._cache = cache
        self._options = options or PullOptions(patience_s=None)
        self._limit = limit
        self._undo_s = undo_s
        self._entries: list[Entry] = []
        self._cancelled: list[_Cancelled] = []
        self._dropping: list[PullRequest] = []
        self._subscribers: set[_Subscriber] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False

    # ── what there is ────────────────────────────────────────────────────────────────────────────

    @property
    def items(self) -> tuple[QueuedPull, ...]:
        """Return all pulls in order."""
        return tuple(snapshot(entry) for entry in self._entries)

    @property
    def under_way(self) -> int:
        """Return the number of pulls that run or wait in the queue, which quitting would interrupt."""
        return sum(entry.state == "under way" for entry in self._entries)

    async def events(self) -> AsyncGenerator[PullsChanged, None]:
        """Yield the queue now and after each change, at most ten times a second, until `close`."""
        subscriber = _Subscriber()
        subscriber.changed.set()
        self._subscribers.add(subscriber)
        try:
            while True:
                await subscriber.changed.wait()
                subscriber.changed.clear()
                ended = tuple(subscriber.ended)
                subscriber.ended.clear()
                if self._closed:
                    return
                yield PullsChanged(pulls=self.items, ended=ended)
                await asyncio.sleep(_INTERVAL_S)
        finally:
            self._subscribers.discard(subscriber)

    # ── what one can do ──────────────────────────────────────────────────────────────────────────

    def restore(self) -> tuple[QueuedPull, ...]:
        """Read the pulls of the last run. Call this first.

        Return the interrupted ones, which stay paused until `go_on`.
        """
        known, self._dropping, self.notice = self._file.open()
        self._entries = [
            Entry(
                item.id,
                item.name,
                item.request,
                state="paused" if item.state == "under way" else item.state,
                done=item.done,
                total=item.total,
                error=PullError(*item.error) if item.error else None,
                left_over=item.state == "under way",
            )
            for item in known
        ]
        for request in self._dropping:
            self._spawn(self._drop(request))
        self._changed()
        return tuple(item for item in self.items if item.left_over)

    def go_on(self) -> None:
        """Resume all pulls that were running when the program ended."""
        for entry in self._entries:
            if entry.left_over:
                entry.resume()
        self._changed()

    def add(self, request: PullRequest, name: str) -> str:
        """Add a pull to the end of the queue and return its id. If it is already queued, resume it."""
        for cancelled in [c for c in self._cancelled if c.entry.request == request]:
            self._cancelled.remove(cancelled)  # the received data is needed again
        entry = next((entry for entry in self._entries if entry.request == request), None)
        if entry is None:
            entry = Entry(uuid.uuid4().hex[:12], name, request)
            self._entries.append(entry)
        else:
            entry.resume()
        self._changed()
        return entry.id

    def adopt(self, request: PullRequest, name: str, done: int) -> None:
        """Add a paused pull that another program began, with `done` bytes. Ignored if it is already
        queued."""
        known = [entry.request for entry in self._entries] + self._dropping
        if request not in known:
            self._entries.append(Entry(uuid.uuid4().hex[:12], name, request, state="paused", done=done))
            self._changed()

    def pause(self, id: str) -> None:
        """Pause a pull and keep the received data."""
        entry = self._entry(id)
        if entry.state == "under way":
            entry.state = "paused"
            entry.stop()
            self._changed()

    def resume(self, id: str) -> None:
        """Resume a paused or failed pull when its turn comes."""
        entry = self._entry(id)
        if entry.state in ("paused", "failed"):
            entry.resume()
            self._changed()

    def move(self, id: str, index: int) -> None:
        """Move a pull to another position in the queue. Pulls start in this order."""
        entry = self._entry(id)
        self._entries.remove(entry)
        self._entries.insert(max(0, index), entry)
        self._changed()

    def cancel(self, id: str, *, keep_part: bool = False) -> None:
        """Remove a pull from the queue. `undo_cancel` can restore it within `undo_s` seconds.

        After that, or when the program ends, the received data is deleted unless `keep_part` is True. The
        files of a complete pull stay.
        """
        entry = self._entry(id)
        cancelled = _Cancelled(entry, self._entries.index(entry), drop=not keep_part)
        cancelled.timer = self._spawn(self._forget(cancelled))
        self._cancelled.append(cancelled)
        self._entries.remove(entry)
        entry.stop()
        self._changed()

    def undo_cancel(self) -> str | None:
        """Restore the last cancelled pull to its position and return its id; None if it is too late."""
        if not self._cancelled:
            return None
        cancelled = self._cancelled.pop()
        self._entries.insert(cancelled.index, cancelled.entry)
        self._changed()
        return cancelled.entry.id

    async def close(self) -> None:
        """Stop all pulls, keep the received data and save the queue. Takes at most two seconds."""
        if self._closed:
            return
        self._closed = True
        for entry in self._entries:
            entry.stop()
        for cancelled in self._cancelled:
            if cancelled.timer is not None:
                cancelled.timer.cancel()
            if cancelled.drop:
                self._dropping.append(cancelled.entry.request)
        self._cancelled.clear()
        self._save()
        # Stop the pulls first, because deleting cancelled ones needs their locks.
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        if drops := [asyncio.create_task(self._drop(request)) for request in self._dropping]:
            await asyncio.wait(drops, timeout=0.7)
        for task in (*self._tasks, *drops):
            task.cancel()
        self._file.close()
        self._tell()

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _entry(self, id: str) -> Entry:
        return next(entry for entry in self._entries if entry.id == id)

    def _changed(self) -> None:
        """After any change: start pulls, save the queue, and notify subscribers."""
        running = sum(entry.pull is not None for entry in self._entries)
        for entry in self._entries:
            if running >= self._limit or self._closed:
                break
            if entry.state == "under way" and entry.pull is None:
                entry.pull = Pull(
                    entry.request, hub=self._hub, cache=self._cache, options=self._options, rate=self.rate
                )
                entry.pull.start()
                self._spawn(self._follow(entry, entry.pull))
                running += 1
        if running and (self._ticker is None or self._ticker.done()):
            self._ticker = self._spawn(self._tick())
        self._save()
        self._tell()

    def _tell(self) -> None:
        for subscriber in self._subscribers:
            subscriber.changed.set()

    def _save(self) -> None:
        # Writing a kilobyte without fsync takes a tenth of a millisecond, so no thread is needed and the
        # order is kept.
        try:
            self._file.save(
                [remembered(entry) for entry in self._entries if entry.state != "done"],
                [*self._dropping, *(c.entry.request for c in self._cancelled if c.drop)],
            )
        except OSError as error:
            self.notice = f"The list of pulls cannot be saved: {cause_of(error)}."
            _log.warning("cannot write the list of pulls", exc_info=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _follow(self, entry: Entry, pull: Pull) -> None:
        """Wait for the end of a pull and record its outcome."""
        error: SpnlError | None = None
        finished: PullFinished | None = None
        try:
            finished = await pull.wait()
        except SpnlError as why:
            error = why
        if entry.pull is not pull:
            return  # it was paused, cancelled or restarted, so its outcome does not matter
        entry.look()
        entry.pull = None
        entry.error, entry.finished = error, finished
        if finished is not None:
            entry.state = "done"
        elif isinstance(error, DiskFullError):
            entry.state = "paused"
        else:
            entry.state = "failed"
        for subscriber in self._subscribers:
            subscriber.ended.append(snapshot(entry))
        self._changed()

    async def _tick(self) -> None:
        """While pulls run, check ten times a second for changes to report."""
        before: tuple[QueuedPull, ...] = ()
        while any(entry.pull is not None for entry in self._entries):
            for entry in self._entries:
                entry.look()
            if (now := self.items) != before:
                before = now
                self._tell()
            await asyncio.sleep(_INTERVAL_S)

    async def _forget(self, cancelled: _Cancelled) -> None:
        """Wait until the cancellation cannot be undone, then delete the received data."""
        await asyncio.sleep(self._undo_s)
        if cancelled in self._cancelled:
            self._cancelled.remove(cancelled)
            if cancelled.drop:
                self._dropping.append(cancelled.entry.request)
                await self._drop(cancelled.entry.request)

    async def _drop(self, request: PullRequest) -> None:
        """Delete the data of a pull that is no longer wanted. If this fails, the next run tries again."""
        wanted = any(entry.request == request for entry in self._entries)
        try:
            dropped = wanted or await asyncio.to_thread(drop_parts, request, self._cache)
        except OSError:
            _log.warning("cannot delete the part of %s", request.repo, exc_info=True)
            return
        if dropped and request in self._dropping:
            self._dropping.remove(request)
            self._save()
