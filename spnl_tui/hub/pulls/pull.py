"""Pulls files of a repository into the Hugging Face cache, with resuming and verification.

async for event in pull(PullRequest("acme/Tiny-GGUF", files=("tiny-Q4_K_M.gguf",))):
    ...                       # PullProgressed, PullNoted, and at the end PullFinished
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from spnl_tui.errors import SpnlError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.failures import unforeseen
from spnl_tui.hub.library.cache_layout import PullNote, RepositoryCache, default_cache
from spnl_tui.hub.pulls.base_config import pull_base_files
from spnl_tui.hub.pulls.pacing import Backoff, PullOptions, RateLimit, Stopped
from spnl_tui.hub.pulls.progress import (
    PullEvent,
    PullFinished,
    PullNoted,
    PullProgressed,
    Speedometer,
    Stage,
)
from spnl_tui.hub.pulls.revision import file_at, find_revision
from spnl_tui.hub.pulls.transfer import DiskFullError, Transfer, check_space, disk_error
from spnl_tui.models.quantization import label_of_file

__all__ = [
    "DiskFullError",
    "Pull",
    "PullEvent",
    "PullFinished",
    "PullNoted",
    "PullOptions",
    "PullProgressed",
    "PullRequest",
    "RateLimit",
    "drop_parts",
    "pull",
]

_INTERVAL_S = 0.1
_QUIET_S = 2.0
"""Seconds without data after which this is shown, although it is not yet a stall."""

# If several files are in different stages, the pull's stage is the first of these.
_BUSIEST: tuple[Stage, ...] = ("pulling", "verifying", "stalled", "connecting", "waiting")


@dataclass(frozen=True, slots=True)
class PullRequest:
    """The files of a repository to pull, at a branch, tag or commit."""

    repo: str
    files: tuple[str, ...]
    revision: str = "main"
    label: str = field(default="", compare=False)
    """The quantization's name among all files of the repository; empty to use the one in the file name."""

    def label_of(self, path: str) -> str:
        """Return the name of the quantization with this file."""
        return self.label or label_of_file(path) or PurePosixPath(path).stem


class Pull:
    """A pull that runs in threads: `start` it, poll its `progress`, `wait` for its end.

    The threads do not keep the program from ending. Data received by then is kept.
    """

    def __init__(
        self,
        request: PullRequest,
        *,
        hub: HubAccess | None = None,
        cache: Path | None = None,
        options: PullOptions | None = None,
        rate: RateLimit | None = None,
    ) -> None:
        self.request = request
        self._hub = hub or HubAccess()
        self._cache = cache
        self._options = options or PullOptions()
        self._rate = rate or RateLimit()
        self._stop = threading.Event()
        self._over = threading.Event()
        self._backoff = Backoff(self._options, self._stop)
        self._speed = Speedometer()
        self._transfers: tuple[Transfer, ...] = ()
        self._notes: deque[str] = deque()
        self._trouble = ""
        self._result: PullFinished | None = None
        self._error: SpnlError | None = None
        self._listeners: list[Callable[[], None]] = []

    # ── for the owner ────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Start the threads."""
        threading.Thread(target=self._run, name=f"pull {self.request.repo}", daemon=True).start()

    def stop(self) -> None:
        """Stop the threads. Returns at once; the threads end shortly after, at the latest after a timeout."""
        self._stop.set()
        for transfer in self._transfers:
            transfer.abort()

    @property
    def over(self) -> bool:
        """True if the pull has ended, for whatever reason."""
        return self._over.is_set()

    async def wait(self) -> PullFinished | None:
        """Wait until the pull has ended. Return None if it was stopped.

        Raises:
            HubError: the hub refuses the request, or cannot be reached for too long.
            PullError: the disk is full (DiskFullError) or cannot be written, or the content has the wrong
                hash.
        """
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the event loop is closed, so no task waits for the end
                loop.call_soon_threadsafe(ended.set)

        self._listeners.append(tell)
        if not self._over.is_set():
            await ended.wait()
        if self._error is not None:
            raise self._error
        return self._result

    def take_notes(self) -> list[str]:
        """Return the notes since the last call."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def progress(self) -> PullProgressed:
        """Return the progress. This is cheap; the speed is accurate if it is called several times a
        second."""
        now = time.monotonic()
        transfers = self._transfers
        if self._result is not None:
            total = sum(t.file.size for t in transfers)
            return PullProgressed(stage="done", done=total, total=total)
        if not transfers:
            return PullProgressed(
                stage="stalled" if self._trouble else "connecting",
                done=0,
                total=None,
                detail=self._trouble,
                retry_in_s=_until(self._backoff.retry_at, now),
            )
        done, total = sum(t.written for t in transfers), sum(t.file.size for t in transfers)
        self._speed.add(now, sum(t.fetched for t in transfers))
        by_stage = {t.stage: t for t in reversed(transfers)}
        shown = next((by_stage[stage] for stage in _BUSIEST if stage in by_stage), transfers[-1])
        detail = shown.detail
        speed = self._speed.bytes_per_s if shown.stage == "pulling" else None
        if shown.stage == "pulling" and shown.last_byte_at:
            quiet = now - max(t.last_byte_at for t in transfers)
            detail = f"no bytes for {quiet:.0f} s" if quiet > _QUIET_S else ""
        return PullProgressed(
            stage="verifying" if shown.stage == "done" else shown.stage,
            done=done,
            total=total,
            bytes_per_s=speed,
            eta_s=(total - done) / speed if speed else None,
            detail=detail,
            retry_in_s=_until(shown.retry_at, now) if shown.stage == "stalled" else None,
        )

    # ── in the thread ────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        try:
            finished = self._pull()
            if note := self._pull_base(finished):
                self._notes.append(note)
            self._result = finished
        except Stopped:
            pass
        except SpnlError as error:
            self._error = error
        except Exception as error:  # a bug here must not end the program
            self._error = unforeseen(error)
        finally:
            self._over.set()
            for tell in self._listeners:
                tell()

    def _pull_base(self, finished: PullFinished) -> str:
        """Pull the original repository's config files that image input needs; return why this failed, or an
        empty text."""

        def pull(repo: str, files: tuple[str, ...]) -> None:
            one = Pull(
                PullRequest(repo, files),
                hub=self._hub,
                cache=self._cache,
                options=self._options,
                rate=self._rate,
            )
            one._stop = self._stop
            one._run()
            if one._error is not None:
                raise one._error

        patience = self._options.connect_s
        return pull_base_files(finished.files, self._hub, patience, self._backoff, pull)

    def _pull(self) -> PullFinished:
        request = self.request
        root = self._cache if self._cache is not None else default_cache()
        revision = find_revision(
            self._hub,
            request.repo,
            request.revision,
            timeout=self._options.connect_s,
            wait=self._wait_for_hub,
        )
        cache = RepositoryCache(root, revision.repo)
        transfers = tuple(
            Transfer(
                file_at(self._hub, revision, path, request.revision),
                revision,
                request.revision,
                hub=self._hub,
                cache=cache,
                options=self._options,
                rate=self._rate,
                stop=self._stop,
                note=self._notes.append,
            )
            for path in dict.fromkeys(request.files)
        )
        for transfer in transfers:
            cache.pointer(revision.commit, transfer.file.path)  # raises for paths outside the snapshot
        missing = sum(transfer.missing() for transfer in transfers)
        self._transfers = transfers
        try:
            check_space(cache.root, missing, self._options)
            cache.prepare(revision.commit)
            for path in request.files:
                if path.lower().endswith(".gguf"):
                    cache.write_note(PullNote(path, request.revision, request.label_of(path)))
            paths = self._run_side_by_side(transfers)
            for path in request.files:
                if request.label_of(path) == label_of_file(path):  # otherwise the note still holds the name
                    cache.drop_note(path, request.revision)
            cache.remember_revision(request.revision, revision.commit)
        except OSError as error:
            self._tidy(cache)
            raise disk_error(error, cache.root, missing) from error
        except Exception:
            self._tidy(cache)
            raise
        return PullFinished(
            repo=revision.repo,
            commit=revision.commit,
            snapshot=cache.snapshots / revision.commit,
            files=tuple(paths[path] for path in request.files),
            fetched=sum(transfer.fetched for transfer in transfers),
        )

    def _wait_for_hub(self, why: str, wait_s: float | None) -> None:
        self._trouble = why
        self._backoff.wait(why, wait_s)
        self._trouble = ""

    def _tidy(self, cache: RepositoryCache) -> None:
        """Delete the incomplete file, note and directory of a file that received no data."""
        revision = self.request.revision
        with suppress(OSError):  # the pull fails with its own error anyway
            for path in self.request.files:
                if not any(part.stat().st_size for part in cache.parts(path, revision)):
                    cache.drop_parts([path], revision)

    def _run_side_by_side(self, transfers: tuple[Transfer, ...]) -> dict[str, Path]:
        """Run the transfers, a few at a time. The first that fails stops the others."""
        waiting = deque(transfers)
        paths: dict[str, Path] = {}
        errors: list[Exception] = []

        def next_one() -> Transfer | None:
            with suppress(IndexError):  # another thread may have taken the last one
                return waiting.popleft()
            return None

        def work() -> None:
            try:
                while transfer := next_one():
                    paths[transfer.file.path] = transfer.run()
            except Exception as error:  # raised again below, in the thread that started the transfers
                errors.append(error)
                self.stop()

        threads = [
            threading.Thread(target=work, name=f"pull {self.request.repo} {n}", daemon=True)
            for n in range(min(self._options.connections, len(transfers)))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])
        return paths


async def pull(
    request: PullRequest,
    *,
    hub: HubAccess | None = None,
    cache: Path | None = None,
    options: PullOptions | None = None,
    rate: RateLimit | None = None,
) -> AsyncGenerator[PullEvent, None]:
    """Pull files and yield the progress, at most ten times a second. The last event is PullFinished.

    Complete files are not pulled again. Closing the iterator (`aclosing`) stops the pull and keeps the
    received data, from which the next pull of the same files resumes. `cache` is huggingface_hub's own if
    None.

    Raises:
        HubError: the hub refuses the request, or cannot be reached for `options.patience_s`.
        PullError: the disk is full (DiskFullError) or cannot be written, or the content has the wrong hash.
    """
    one = Pull(request, hub=hub, cache=cache, options=options, rate=rate)
    one.start()
    try:
        last: PullProgressed | None = None
        over = False
        while not over:
            over = one.over
            for text in one.take_notes():
                yield PullNoted(text=text)
            progress = one.progress()
            if progress != last:
                yield progress
                last = progress
            if not over:
                await asyncio.sleep(_INTERVAL_S)
        if finished := await one.wait():
            yield finished
    finally:
        one.stop()
        # This is long enough, except for a thread that waits for a response; its timeout ends it.
        with suppress(TimeoutError, SpnlError):
            await asyncio.wait_for(one.wait(), 1)


def drop_parts(request: PullRequest, cache: Path | None = None) -> bool:
    """Delete the incomplete files of a pull that will not be resumed. Complete files stay.

    Blocks, so call it in a thread. Return False if another program is writing one of them, which then stays.
    """
    root = cache if cache is not None else default_cache()
    alike = RepositoryCache.spelled_alike(root, request.repo)
    dropped = [repository.drop_parts(request.files, request.revision) for repository in alike]
    return all(dropped)


def _until(moment: float | None, now: float) -> float | None:
    """Return the whole seconds until then, so that a countdown changes once a second; None without a time."""
    return None if moment is None else math.ceil(max(0.0, moment - now))
