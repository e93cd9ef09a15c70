"""What comes of a file ahead of its part's end, in further connections, where these make it faster.

The part grows in one piece, so that its length alone says what has come. Further connections therefore
write stretches of the file into files of their own, `<etag>.<key>.<start>.part`, each of which grows in one
piece as well. When the part has grown to where a stretch begins, the stretch is appended to it. After a kill
at any point, the next program finds all that has come.

Whether a further connection helps is measured: one is added, and stays if the speed rises by an eighth. Where
the line is the limit, a pull thus keeps to one connection, and writes everything once.
"""

from __future__ import annotations

import threading
import time
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spnl_tui.errors import HubError
from spnl_tui.hub.failures import client_errors
from spnl_tui.hub.pulls.pacing import PullOptions, RateLimit, Stopped
from spnl_tui.hub.pulls.source import Source, TryAgain

_GAIN = 1.125
_AGAIN_S = 60.0
"""So long after a further connection brought nothing, one is tried again: lines change."""
_WAITING = 8
"""So many stretches may wait for the part to reach them. They bound what lies on the disk twice."""


@dataclass(order=True)
class Stretch:
    """The bytes from `start` to before `end`, of which the first `got` have come."""

    start: int
    end: int
    path: Path = field(compare=False)
    got: int = field(default=0, compare=False)
    busy: bool = field(default=False, compare=False)
    """Whether a connection is filling it."""

    @property
    def whole(self) -> bool:
        return self.start + self.got >= self.end


class Ahead:
    """The stretches of one file, and the connections that bring them.

    One thread owns the part, and calls all methods but the properties. `reached` says how long the part is.
    `connections` counts those that are free; the part's own does not belong to them.
    """

    def __init__(
        self,
        source: Source,
        part: Path,
        reached: Callable[[], int],
        *,
        options: PullOptions,
        rate: RateLimit,
        connections: threading.Semaphore,
        stop: threading.Event,
    ) -> None:
        self._source = source
        self._part = part
        self._reached = reached
        self._options = options
        self._rate = rate
        self._connections = connections
        self._stop = stop
        self._changed = threading.Condition()
        self._stretches: list[Stretch] = []
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._allowed = 0
        self._closing = False
        self._ranges = True
        self._trial = _Trial(options.trial_s)
        self.fetched = 0
        self.last_byte_at = 0.0
        """When something came, by time.monotonic."""

    # ── what there is ────────────────────────────────────────────────────────────────────────────

    def find(self) -> None:
        """Look for what an earlier program has left."""
        stem = self._part.name.removesuffix(".part")
        size = self._source.file.size
        found: list[Stretch] = []
        for path in self._part.parent.glob(f"{stem}.*.part"):
            start = path.name.removeprefix(f"{stem}.").removesuffix(".part")
            if start.isdecimal() and int(start) < size:
                found.append(Stretch(int(start), size, path, path.stat().st_size))
        found.sort()
        for stretch, limit in zip(found, [*(s.start for s in found[1:]), size], strict=False):
            stretch.end = min(stretch.start + max(self._options.stretch, stretch.got), limit)
            stretch.got = min(stretch.got, stretch.end - stretch.start)
        with self._changed:
            self._stretches = found

    @property
    def got(self) -> int:
        """How many bytes lie beyond the end of the part."""
        reached = self._reached()
        return sum(max(0, s.start + s.got - max(s.start, reached)) for s in tuple(self._stretches))

    @property
    def begins_at(self) -> int:
        """Where the first stretch begins, or the file ends: so far the part's own connection need go."""
        stretches = self._stretches
        return stretches[0].start if stretches else self._source.file.size

    @property
    def busy(self) -> bool:
        """Whether another connection is bringing what goes on where the part ends."""
        first = self._stretches[0] if self._stretches else None
        return first is not None and first.busy and first.start <= self._reached()

    def next(self) -> Stretch | None:
        """What goes on where the part ends, if it has come: to be appended, and then dropped."""
        first = self._stretches[0] if self._stretches else None
        if first is None or first.start > self._reached() or (first.busy and not first.whole):
            return None
        return first

    def drop(self, stretch: Stretch) -> None:
        """The part has all of it."""
        stretch.path.unlink()
        with self._changed:
            self._stretches.remove(stretch)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget and delete everything: the file starts over."""
        self.close()
        with self._changed:
            for stretch in self._stretches:
                stretch.path.unlink(missing_ok=True)
            self._stretches.clear()

    def close(self) -> None:
        """End the connections; what they have brought stays."""
        with self._changed:
            self._closing = True
            self._allowed = 0
            self._changed.notify_all()
        if any(thread.is_alive() for thread in self._threads):
            self._source.abort()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self._closing = False

    # ── how many connections ─────────────────────────────────────────────────────────────────────

    def consider(self, fetched: int) -> None:
        """Now and then, with the bytes that have come in all connections: add one, or take one away."""
        if not self._ranges:
            return
        if self._rate.slowed:
            self._trial.forget()
            return
        verdict = self._trial.verdict(fetched, time.monotonic(), self._rate.bytes_per_s)
        if verdict == "take away":
            with self._changed:
                self._allowed = max(0, self._allowed - 1)
        elif (
            verdict == "add" and self._next_start() is not None and self._connections.acquire(blocking=False)
        ):
            with self._changed:
                self._allowed += 1
                self._running += 1
            name = f"pull {self._source.file.path} +{self._running}"
            self._threads.append(threading.Thread(target=self._help, name=name, daemon=True))
            self._threads[-1].start()
            self._trial.begin()

    def _help(self) -> None:
        """A further connection: stretch after stretch, until it is no more wanted.

        Whatever goes wrong here ends it. If it is more than bad luck, the part's own connection meets it too,
        and says so.
        """
        try:
            while self._is_wanted():
                if not self.fetch_further():
                    self.wait(0.5)
        except client_errors(TryAgain, HubError, OSError, Stopped):
            with self._changed:
                self._running -= 1
                self._allowed = max(0, self._allowed - 1)
        finally:
            self._connections.release()

    def _is_wanted(self) -> bool:
        """Whether this connection is to go on; else it counts no more."""
        with self._changed:
            wanted = self._running <= self._allowed and self._next_start() is not None
            if not wanted:
                self._running -= 1
            return wanted and not self._stop.is_set()

    # ── fetching ─────────────────────────────────────────────────────────────────────────────────

    def fetch_further(self) -> bool:
        """Bring one stretch. False if there is none to bring, or too much waits already.

        Raises:
            HubError, TryAgain, Stopped, OSError, httpx2.TransportError: what came until then is kept.
        """
        stretch = self._claim()
        if stretch is None:
            return False
        try:
            self._fill(stretch)
        finally:
            with self._changed:
                stretch.busy = False
                if not stretch.got:  # nothing to keep: the part's own connection need not stop there
                    self._stretches.remove(stretch)
                    stretch.path.unlink(missing_ok=True)
                self._changed.notify_all()
        return True

    def wait(self, seconds: float) -> None:
        """Until a stretch has come, or so long."""
        with self._changed:
            self._changed.wait(seconds)

    def _next_start(self) -> int | None:
        """Where the next stretch would begin."""
        reached = self._reached()
        start = self._stretches[-1].end if self._stretches else reached + self._options.stretch
        return start if start < self._source.file.size else None

    def _claim(self) -> Stretch | None:
        with self._changed:
            reached = self._reached()
            for stretch in self._stretches:
                if not (stretch.busy or stretch.whole or stretch.start <= reached):
                    stretch.busy = True
                    return stretch
            start = self._next_start()
            if start is None or len(self._stretches) >= _WAITING:
                return None
            end = start + self._options.stretch
            # No crumbs: a last bit is not worth a request.
            end = self._source.file.size if end + self._options.stretch // 2 > self._source.file.size else end
            path = self._part.with_name(f"{self._part.name.removesuffix('.part')}.{start}.part")
            stretch = Stretch(start, end, path, busy=True)
            insort(self._stretches, stretch)
            return stretch

    def _fill(self, stretch: Stretch) -> None:
        with (
            open(stretch.path, "ab", buffering=0) as file,
            self._source.open(stretch.start + stretch.got, stretch.end) as body,
        ):
            if not body.in_place:
                self._ranges = False
                raise TryAgain("the server cannot go on in the middle")
            file.truncate(stretch.got)  # a write that failed, as on a full disk, may have left a piece
            for block in body.blocks():
                if self._closing:
                    raise Stopped
                view = memoryview(block)[: stretch.end - stretch.start - stretch.got]
                count = len(view)
                while view:
                    view = view[file.write(view) :]
                stretch.got += count
                with self._changed:
                    self.fetched += count
                self.last_byte_at = time.monotonic()
                self._rate.take(count, self._stop)
        if not stretch.whole:
            raise TryAgain("the connection closed early")


class _Trial:
    """Judges by the speed whether one more connection is worth it."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._since: tuple[float, int] | None = None
        self._before = 0.0
        self._judging = False
        self._not_before = 0.0

    def begin(self) -> None:
        """One was added."""
        self._judging = True

    def forget(self) -> None:
        """What was measured tells nothing."""
        self._since, self._judging = None, False

    def verdict(
        self, fetched: int, now: float, allowed: float | None = None
    ) -> Literal["add", "take away", None]:
        """What to do, with so many bytes by now; None while it is being measured, or all is well as it is.

        All is well where it is as fast as it may be: `allowed` bytes a second.
        """
        if self._since is None:
            self._since = now, fetched
        begun, count = self._since
        if now - begun < self._period_s:
            return None
        speed = (fetched - count) / (now - begun)
        in_vain = self._judging and speed < self._before * _GAIN
        self._since, self._before, self._judging = (now, fetched), speed, False
        if in_vain:
            self._not_before = now + _AGAIN_S
            return "take away"
        if now < self._not_before or (allowed and speed > allowed / _GAIN):
            return None
        return "add"
