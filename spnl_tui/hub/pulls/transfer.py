"""Transfers one file from the hub into the cache, with resuming, retries and verification.

All methods block and run in threads. A thread or the process may end at any time without loss, because
received data is written unbuffered to the incomplete file.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

from spnl_tui.errors import PullError, cause_of
from spnl_tui.hub.access import HubAccess, RemoteFile, RemoteRevision
from spnl_tui.hub.failures import client_errors, why_again
from spnl_tui.hub.library.cache_layout import LockTaken, RepositoryCache
from spnl_tui.hub.pulls.flushing import Flusher
from spnl_tui.hub.pulls.hashing import Hasher
from spnl_tui.hub.pulls.pacing import Backoff, PullOptions, RateLimit, Stopped
from spnl_tui.hub.pulls.progress import Stage
from spnl_tui.hub.pulls.remote_content import RemoteContent, TryAgain
from spnl_tui.text import in_bytes

_READ_BLOCK = 1 << 20
_MAGIC_BYTES = 4


class DiskFullError(PullError):
    """The disk has too little space. `missing` is the number of bytes to free before the pull can resume."""

    def __init__(self, place: Path, missing: int, *, account: str = "", could_go: str = "") -> None:
        self.missing = missing
        hint = "Free some space, or move the cache with HF_HOME, and pull again to resume."
        super().__init__(
            "The disk is full",
            f"{in_bytes(missing)} more are needed on the disk that holds {place}{account}.",
            f"{could_go} {hint}".strip(),
        )


class Transfer:
    """Transfers one file into the cache with `run`.

    The attributes show the progress; any thread may read them.
    """

    def __init__(
        self,
        file: RemoteFile,
        revision: RemoteRevision,
        asked: str,
        *,
        hub: HubAccess,
        cache: RepositoryCache,
        options: PullOptions,
        rate: RateLimit,
        stop: threading.Event,
        note: Callable[[str], None],
    ) -> None:
        self.file = file
        self._revision = revision
        self._asked = asked
        self._cache = cache
        self._options = options
        self._rate = rate
        self._stop = stop
        self._note = note
        self._part = cache.part(file, asked)
        self._backoff = Backoff(options, stop)
        self._source = RemoteContent(file, revision, hub=hub, options=options, stop=stop)
        self._checked_space_at = 0.0
        self._begins_well = False
        self.fetched = 0
        """The number of bytes received over the network."""
        self.last_byte_at = 0.0
        """The time.monotonic of the last received data; 0 if there was none."""
        self.stage: Stage = "waiting"
        self.detail = ""
        self.written = 0
        """The length of the incomplete file in bytes."""

    @property
    def retry_at(self) -> float | None:
        """Return the time.monotonic of the next try while stalled; None otherwise."""
        return self._backoff.retry_at

    def abort(self) -> None:
        """Wake the threads that wait for bytes. Set the stop event first."""
        self._source.abort()

    def missing(self) -> int:
        """Return the number of missing bytes, and update the progress. Call it before `run`."""
        if self._cache.find(self._revision.commit, self.file) is not None:
            self.written = self.file.size
        else:
            self._look()
        return self.file.size - self.written

    def _look(self) -> None:
        # There may be no data yet, or another program may have just completed the file.
        with suppress(FileNotFoundError, NotADirectoryError):
            self.written = min(self._part.stat().st_size, self.file.size)

    def run(self) -> Path:
        """Transfer the file, and return its path in the snapshot.

        Raises:
            HubError: the hub rejects the request, or cannot be reached for too long.
            PullError: the disk is full or cannot be written, or the received data is wrong.
            Stopped: the stop event was set.
        """
        try:
            while True:
                self._check_stop()
                try:
                    with self._cache.locked(self.file.etag, timeout=0.25):
                        return self._run_alone()
                except LockTaken:
                    self._enter("waiting", "another pull is writing it")
                    self._look()
        except OSError as error:
            raise disk_error(error, self._cache.root, self.file.size - self.written) from error

    def _run_alone(self) -> Path:
        commit = self._revision.commit
        if self.file.path.lower().endswith(".gguf") and self.file.size < _MAGIC_BYTES:
            raise PullError(
                f"{self.file.path} is not a GGUF file",
                f"It has {self.file.size} bytes on the hub.",
                "Choose another file.",
            )
        if self._cache.find(commit, self.file) is None:
            self._settle_parts()
            self._fetch_and_prove()
        for part in self._cache.parts_of(self.file):
            part.unlink()  # it began under another name, or another program has completed the file
        pointer = self._cache.pointer(commit, self.file.path)
        if self._cache.blob(self.file).exists():
            pointer = self._cache.link(commit, self.file)
        self.written = self.file.size
        self._enter("done")
        return pointer

    def _settle_parts(self) -> None:
        """Delete outdated incomplete files. Reuse one with the same content under another name."""
        for part in self._cache.parts(self.file.path, self._asked):
            if not part.name.startswith(f"{self.file.etag}.") and self._cache.drop_part(part):
                self._note(f"{self.file.path} starts over: it has changed on the hub")
        # Another revision or path may have the same content. This thread holds its lock.
        if not self._part.exists() and (others := self._cache.whole_parts_of(self.file)):
            os.replace(others[0], self._part)

    # ── from the first byte to the proof ─────────────────────────────────────────────────────────

    def _fetch_and_prove(self) -> None:
        whole_fetches = 0
        self._part.parent.mkdir(parents=True, exist_ok=True)  # a failed pull may just have removed it
        self._part.touch()  # "r+b" needs an existing file
        with open(self._part, "r+b", buffering=0) as part, Hasher(self.file) as self._hash:
            self._flusher = Flusher(part)
            while True:
                self._read_part(part)
                whole_fetches += self.written == 0
                self._fetch(part)
                self._enter("verifying")
                # Check the size too, because on file systems without working locks another program may have
                # cut the file.
                if os.fstat(part.fileno()).st_size == self.file.size and self._hash.matches():
                    break
                self._start_over(part, "it did not match its hash" if whole_fetches < 2 else "")
                if whole_fetches == 2:
                    self._part.unlink()
                    raise PullError(
                        f"{self.file.path} differs from the hub's description",
                        "It was downloaded twice, and its hash was wrong both times.",
                        "The data was deleted. Try again later, or on another network.",
                    )
            self._flusher.finish()  # otherwise a power cut could leave unsaved data under the final name
        os.replace(self._part, self._cache.blob(self.file))

    def _read_part(self, part: FileIO) -> None:
        """Hash the data received so far, after which the download resumes."""
        size = os.fstat(part.fileno()).st_size
        if size > self.file.size:
            self._start_over(part, "the partial file was too long")
            return
        self._enter("verifying", "earlier data" if size else "")
        self._hash.restart()
        self.written = 0
        part.seek(0)
        while block := part.read(_READ_BLOCK):
            self._check_stop()
            self._hash.update(block)
            self.written += len(block)
        if problem_with_beginning(self.file.path, os.pread(part.fileno(), _MAGIC_BYTES, 0)):
            self._start_over(part, "the partial file was not a GGUF")

    def _start_over(self, part: FileIO, why: str) -> None:
        part.seek(0)
        part.truncate()
        self._hash.restart()
        self.written = 0
        if why:
            self._note(f"{self.file.path} starts over: {why}")

    def _fetch(self, part: FileIO) -> None:
        """Append the missing data, retrying as needed."""
        self._backoff.progressed()
        while self.written < self.file.size:
            before = self.written
            try:
                self._stream(part)
                continue
            except TryAgain as again:
                trouble = again
            except client_errors() as error:
                trouble = TryAgain(why_again(error, self._options.stall_s))
            self._check_stop()
            if self.written > before:
                self._backoff.progressed()
            self._enter("stalled", trouble.why)
            self._backoff.wait(trouble.why, trouble.wait_s)

    def _stream(self, part: FileIO) -> None:
        """Make one request and append its data until the response ends."""
        self._enter("connecting")
        with self._source.open(self.written) as body:
            if not body.in_place:
                self._start_over(part, "the server cannot resume in the middle")
            if body.refused:
                raise TryAgain("the server answered 416")
            self._enter("pulling")
            for block in body.blocks():
                block = block[: self.file.size - self.written]
                if not block:
                    break  # more data than announced
                self._append(part, block)
                self.fetched += len(block)
                self.last_byte_at = time.monotonic()
                self._rate.take(len(block), self._stop)
        if self.written < self.file.size:
            raise TryAgain("the connection closed early")

    def _append(self, part: FileIO, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[part.write(view) :]
        self._hash.update(block)
        self._flusher.wrote(len(block))
        self.written += len(block)
        if not self._begins_well and self.written >= _MAGIC_BYTES:
            self._check_beginning(part)
        now = time.monotonic()
        if now - self._checked_space_at > 1:
            self._checked_space_at = now
            check_space(self._cache.blobs, self.file.size - self.written, self._options)

    def _check_beginning(self, part: FileIO) -> None:
        """Check that the file begins as its name requires, before pulling the rest.

        Raises:
            PullError: the format is wrong.
        """
        begins = os.pread(part.fileno(), _MAGIC_BYTES, 0)
        problem = problem_with_beginning(self.file.path, begins)
        if problem:
            self._start_over(part, "")
            raise PullError(
                f"{self.file.path} is not a GGUF file",
                problem,
                "Choose another file, or try again on another network, in case this one alters the file.",
            )
        self._begins_well = True

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _enter(self, stage: Stage, detail: str = "") -> None:
        # Another thread may read between the two assignments. An empty detail is better than that of another
        # stage.
        self.detail = ""
        self.stage = stage
        self.detail = detail


def problem_with_beginning(path: str, begins: bytes) -> str:
    """Return a sentence that says why a file with this name cannot begin like this; empty if it can."""
    if not path.lower().endswith(".gguf") or not begins or begins == b"GGUF"[: len(begins)]:
        return ""
    if begins.lstrip().startswith(b"<"):
        return "It begins like a web page."
    if begins == b"vers":
        return "It is a Git LFS pointer, which only names the real file."
    return f"It begins with {begins!r}, not with GGUF."


def check_space(place: Path, needed: int, options: PullOptions) -> None:
    """Check that `needed` bytes fit and the reserve stays free. Make room if allowed.

    Raises:
        DiskFullError: there is too little space.
    """
    while not place.exists():
        place = place.parent

    def missing() -> int:
        return needed + options.reserve - shutil.disk_usage(place).free

    if needed <= 0 or missing() <= 0:
        return
    could_go = options.make_room(place, missing()) if options.make_room else ""
    if (still := missing()) > 0:
        reserve = f"{in_bytes(options.reserve)} must stay free" if options.reserve else "no space is reserved"
        free = in_bytes(shutil.disk_usage(place).free)
        account = f": {in_bytes(needed)} are still missing, {reserve}, and {free} are free"
        raise DiskFullError(place, still, account=account, could_go=could_go)


def disk_error(error: OSError, place: Path, missing: int) -> PullError:
    """Return the error for the user for an error of the operating system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(place, missing)
    if error.errno == errno.EFBIG:
        return PullError(
            "The file is too large for this disk",
            f"The file system of {place} cannot store a file of this size.",
            "Move the cache to another disk with HF_HOME.",
        )
    return PullError(
        "The cache cannot be written",
        f"{place}: {cause_of(error)}.",
        "Make it writable, or choose another place with HF_HOME.",
    )
