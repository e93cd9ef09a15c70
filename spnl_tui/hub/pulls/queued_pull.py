"""A pull in the queue: its state for the pane, and the queue's own record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spnl_tui.errors import SpnlError
from spnl_tui.hub.pulls.pull import DiskFullError, Pull, PullFinished, PullRequest
from spnl_tui.hub.pulls.queue_file import Remembered, RememberedState, as_tuple

PullState = Literal["waiting", "connecting", "pulling", "stalled", "verifying", "paused", "done", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedPull:
    """The current state of a pull in the queue. Sizes in bytes count all its files together."""

    id: str
    name: str
    """The name that the user knows, as plain text."""
    request: PullRequest
    state: PullState
    words: str
    """The state for the user, such as "stalled (no bytes for 6 s) – retrying in 4 s"."""
    done: int
    total: int | None
    bytes_per_s: float | None = None
    eta_s: float | None = None
    note: str = ""
    """The latest note for the user, such as "x.gguf starts over: it did not match its hash"."""
    error: SpnlError | None = None
    """The reason why it failed or was paused automatically."""
    finished: PullFinished | None = None
    left_over: bool = False
    """True if the pull was running when the program ended, and waits for `go_on`."""

    @property
    def under_way(self) -> bool:
        """True if the pull runs, or will run without user action."""
        return self.state not in ("paused", "done", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullsChanged:
    """The queue in order, and the pulls that ended (done or failed) since the last event."""

    pulls: tuple[QueuedPull, ...]
    ended: tuple[QueuedPull, ...] = ()


@dataclass(slots=True)
class Entry:
    """The queue's record of a pull. Only the queue changes it."""

    id: str
    name: str
    request: PullRequest
    state: Literal["under way", "paused", "failed", "done"] = "under way"
    done: int = 0
    total: int | None = None
    note: str = ""
    error: SpnlError | None = None
    finished: PullFinished | None = None
    left_over: bool = False
    pull: Pull | None = None

    def resume(self) -> None:
        """Put the pull back into the queue."""
        if self.state != "under way":
            self.state, self.error, self.note = "under way", None, ""
        self.left_over = False

    def stop(self) -> None:
        """Stop the pull's threads, if it runs. Its state decides whether it restarts."""
        if self.pull is not None:
            self.look()
            self.pull.stop()
            self.pull = None

    def look(self) -> None:
        """Update the record from the progress of the pull."""
        if self.pull is None:
            return
        progress = self.pull.progress()
        if progress.total is not None:
            self.done, self.total = progress.done, progress.total
        for note in self.pull.take_notes():
            self.note = note


def snapshot(entry: Entry) -> QueuedPull:
    """Return the current state of the pull."""
    speed = eta = None
    done, total = entry.done, entry.total
    state: PullState
    if entry.state == "under way" and entry.pull is not None:
        progress = entry.pull.progress()
        state, words = progress.stage, progress.words
        if state == "done":  # the queue does not know it yet
            state = words = "verifying"
        speed, eta = progress.bytes_per_s, progress.eta_s
        if progress.total is not None:  # more recent than the last update, and consistent with the state
            done, total = progress.done, progress.total
    elif entry.state == "under way":
        state = words = "waiting"
    else:
        state = words = entry.state
        if entry.error is not None:
            words = f"{state}: {entry.error.title}"
            if isinstance(entry.error, DiskFullError):
                words = f"{words}, {entry.error.message.rstrip('.')}"
        elif entry.left_over:
            words = "paused: the program ended"
    return QueuedPull(
        id=entry.id,
        name=entry.name,
        request=entry.request,
        state=state,
        words=words,
        done=done,
        total=total,
        bytes_per_s=speed,
        eta_s=eta,
        note=entry.note,
        error=entry.error,
        finished=entry.finished,
        left_over=entry.left_over,
    )


def remembered(entry: Entry) -> Remembered:
    """Return the record to save for the next run."""
    state: RememberedState = "under way" if entry.left_over or entry.state == "done" else entry.state
    return Remembered(
        id=entry.id,
        name=entry.name,
        request=entry.request,
        state=state,
        done=entry.done,
        total=entry.total,
        error=as_tuple(entry.error),
    )
