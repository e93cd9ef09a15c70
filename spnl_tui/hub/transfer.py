"""One file, from the hub into the cache: resumed, retried and proven.

Everything here blocks and runs in threads of its own. Nothing is lost by ending such a thread at any point,
or the process: what has come is in the part file, which is written without a buffer in between.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spnl_tui.errors import HubError, PullError
from spnl_tui.hub.access import HubAccess, RemoteFile, RemoteRevision
from spnl_tui.hub.cache_layout import LockTaken, RepositoryCache
from spnl_tui.hub.hashing import Hasher
from spnl_tui.hub.pacing import Backoff, PullOptions, RateLimit, Stopped
from spnl_tui.hub.progress import Stage
from spnl_tui.hub.refusals import refusal, retry_after
from spnl_tui.text import in_bytes

if TYPE_CHECKING:
    import httpx2

_READ_BLOCK = 1 << 20


class DiskFullError(PullError):
    """There is not enough room. `missing` is how many bytes must be freed for the pull to go on."""

    def __init__(self, place: Path, missing: int, could_go: str = "") -> None:
        self.missing = missing
        hint = "Free some space, or move the cache with HF_HOME, and pull again: it goes on where it stopped."
        super().__init__(
            "The disk is full",
            f"{in_bytes(missing)} more are needed on the disk that holds {place}.",
            f"{could_go}\n{hint}" if could_go else hint,
        )


class _TryAgain(Exception):
    """This try came to nothing. `wait_s` is how long the server asks to wait."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s


class Transfer:
    """Brings one file into the cache: `run` does it all.

    The attributes tell how far it is; any thread may read them.
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
        self._hub = hub
        self._cache = cache
        self._options = options
        self._rate = rate
        self._stop = stop
        self._note = note
        self._part = cache.part(file, asked)
        self._backoff = Backoff(options, stop)
        self._socket: socket.socket | None = None
        self._checked_space_at = 0.0
        self.stage: Stage = "waiting"
        self.detail = ""
        self.done = 0
        self.fetched = 0
        self.last_byte_at: float | None = None

    @property
    def retry_at(self) -> float | None:
        """When the next try is due, by time.monotonic, while stalled."""
        return self._backoff.retry_at

    def abort(self) -> None:
        """Wake the thread from waiting for bytes. To be called after the stop event is set."""
        connection = self._socket
        if connection is not None:
            with suppress(OSError):  # it may be closed already, which is as good
                connection.shutdown(socket.SHUT_RDWR)

    def missing(self) -> int:
        """How many bytes must still come; also says how far it is before `run` does."""
        if self._cache.find(self._revision.commit, self.file) is not None:
            self.done = self.file.size
        elif self._part.is_file():
            self.done = min(self._part.stat().st_size, self.file.size)
        return self.file.size - self.done

    def run(self) -> Path:
        """Bring the file, and give its path in the snapshot.

        Raises:
            HubError: the hub refuses, or cannot be reached for too long.
            PullError: the disk is full or cannot be written, or what the hub sends is not what it promised.
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
                    with suppress(OSError):  # the other may just have finished
                        self.done = self._part.stat().st_size
        except OSError as error:
            raise disk_error(error, self._cache.root, self.file.size - self.done) from error

    def _run_alone(self) -> Path:
        commit = self._revision.commit
        if self._cache.find(commit, self.file) is None:
            self._settle_parts()
            self._fetch_and_prove()
        for part in self._cache.parts_of(self.file):
            part.unlink()  # begun under another name, or another tool was faster
        pointer = self._cache.pointer(commit, self.file.path)
        if self._cache.blob(self.file).exists():
            pointer = self._cache.link(commit, self.file)
        self.done = self.file.size
        self._enter("done")
        return pointer

    def _settle_parts(self) -> None:
        """Of what was pulled before, under whatever name, keep what is of use."""
        for part in self._cache.parts(self.file.path, self._asked):
            if part != self._part and self._cache.drop_part(part):
                self._note(f"{self.file.path} starts over: it has changed on the hub")
        # The same content may have been asked for by another revision or path. We hold its lock.
        if not self._part.exists() and (others := self._cache.parts_of(self.file)):
            os.replace(others[0], self._part)

    # ── from the first byte to the proof ─────────────────────────────────────────────────────────

    def _fetch_and_prove(self) -> None:
        whole_fetches = 0
        self._part.touch()  # "r+b" wants it to be there
        with open(self._part, "r+b", buffering=0) as part, Hasher(self.file) as self._hash:
            while True:
                self._read_part(part)
                whole_fetches += self.done == 0
                self._fetch(part)
                self._enter("verifying")
                # The size is looked at as well: where locks have no effect, another may have cut it.
                if os.fstat(part.fileno()).st_size == self.file.size and self._hash.matches():
                    break
                self._start_over(part, "it did not match its hash" if whole_fetches < 2 else "")
                if whole_fetches == 2:
                    self._part.unlink()
                    raise PullError(
                        f"{self.file.path} is not what the hub says it is",
                        "It came whole twice, and each time its hash was not the one that the hub gives.",
                        "Nothing was kept. Try again later; something between you and the hub alters it.",
                    )
            os.fsync(part.fileno())  # or a power cut could leave a proven name with unproven bytes
        os.replace(self._part, self._cache.blob(self.file))

    def _read_part(self, part: FileIO) -> None:
        """Hash what has come so far; the fetch goes on from there."""
        size = os.fstat(part.fileno()).st_size
        if size > self.file.size:
            self._start_over(part, "its part was longer than the file")
            return
        self._enter("verifying", "what came earlier" if size else "")
        self._hash.restart()
        self.done = 0
        part.seek(0)
        while block := part.read(_READ_BLOCK):
            self._check_stop()
            self._hash.update(block)
            self.done += len(block)

    def _start_over(self, part: FileIO, why: str) -> None:
        part.seek(0)
        part.truncate()
        self._hash.restart()
        self.done = 0
        if why:
            self._note(f"{self.file.path} starts over: {why}")

    def _fetch(self, part: FileIO) -> None:
        """Append what is missing, however many tries it takes."""
        import httpx2

        self._backoff.progressed()
        while self.done < self.file.size:
            before = self.done
            self._enter("connecting")
            try:
                self._stream(part)
                trouble = _TryAgain("the connection closed early")
            except _TryAgain as again:
                trouble = again
            except httpx2.TransportError as error:
                trouble = _TryAgain(in_words(error, self._options.stall_s))
            self._check_stop()
            if self.done >= self.file.size:
                break
            if self.done > before:
                self._backoff.progressed()
            self._enter("stalled", trouble.why)
            self._backoff.wait(trouble.why, trouble.wait_s)

    def _stream(self, part: FileIO) -> None:
        """One request: append what comes, until it ends."""
        import httpx2
        from huggingface_hub import get_session, hf_hub_url

        revision, options = self._revision, self._options
        # The link to the CDN is asked for anew each time, so it cannot have expired. Redirected to another
        # origin, the client leaves the token behind.
        url = hf_hub_url(revision.repo, self.file.path, revision=revision.commit, endpoint=self._hub.address)
        headers = self._hub.headers()
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
        timeout = httpx2.Timeout(options.connect_s, read=options.stall_s)
        with get_session().stream(
            "GET", url, headers=headers, timeout=timeout, follow_redirects=True
        ) as response:
            self._check_answer(response)
            if self.done and response.status_code in (200, 416):
                self._start_over(part, "the server cannot go on in the middle")
            if response.status_code == 416:
                raise _TryAgain("the server answered 416")
            self._enter("pulling")
            if stream := response.extensions.get("network_stream"):
                self._socket = stream.get_extra_info("socket")
            self._check_stop()  # `abort` may have come just before there was a socket
            try:
                for block in response.iter_raw():
                    self._check_stop()
                    if self.done == self.file.size:
                        break  # more than was promised
                    self._append(part, block)
            finally:
                self._socket = None

    def _check_answer(self, response: httpx2.Response) -> None:
        """See that the body is what was asked for, or the whole file.

        Raises:
            HubError: the answer is final.
            _TryAgain: it is not.
        """
        status = response.status_code
        if status in (200, 416):
            return
        if status == 206:
            # A shorter range is as good as a connection that closes early.
            given = response.headers.get("Content-Range", "")
            if given.startswith(f"bytes {self.done}-") and given.endswith(f"/{self.file.size}"):
                return
            raise _TryAgain(f"the server sent another range ({given or 'unnamed'})")
        ours = urlsplit(self._hub.address)
        if (response.url.scheme, response.url.netloc.decode()) == (ours.scheme, ours.netloc):
            error = refusal(status, response.headers, self._revision.repo, self.file.path)
            if error is not None:
                raise error
        if status == 429:
            raise _TryAgain("the hub asks to slow down", retry_after(response.headers))
        if status in (401, 403, 404):
            raise _TryAgain("the link had expired")
        raise _TryAgain(f"the server answered {status}", retry_after(response.headers))

    def _append(self, part: FileIO, block: bytes) -> None:
        block = block[: self.file.size - self.done]
        view = memoryview(block)
        while view:
            view = view[part.write(view) :]
        self._hash.update(block)
        self.done += len(block)
        self.fetched += len(block)
        now = self.last_byte_at = time.monotonic()
        if now - self._checked_space_at > 1:
            self._checked_space_at = now
            check_space(self._cache.blobs, self.file.size - self.done, self._options)
        self._rate.take(len(block), self._stop)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _enter(self, stage: Stage, detail: str = "") -> None:
        # Two assignments, read by another thread in between: the detail is empty rather than another stage's.
        self.detail = ""
        self.stage = stage
        self.detail = detail


def check_space(place: Path, needed: int, options: PullOptions) -> None:
    """See that `needed` bytes fit, and the reserve stays free. Makes room if it may.

    Raises:
        DiskFullError: they do not.
    """
    while not place.exists():
        place = place.parent

    def missing() -> int:
        return needed + options.reserve - shutil.disk_usage(place).free

    if needed <= 0 or missing() <= 0:
        return
    could_go = options.make_room(place, missing()) if options.make_room else ""
    if (still := missing()) > 0:
        raise DiskFullError(place, still, could_go)


def in_words(error: httpx2.TransportError, timeout: float) -> str:
    """What became of a request that was given so many seconds, if trying again may help.

    Raises:
        HubError: it will not.
    """
    import httpx2

    match error:
        case httpx2.ReadTimeout():
            return f"no bytes for {timeout:g} s"
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            return "no connection to the hub"
        case httpx2.RemoteProtocolError():
            return "the connection closed early"
        case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError():
            raise HubError(
                "The hub cannot be asked",
                "The address of the hub or the token is malformed.",
                "Check HF_ENDPOINT and HF_TOKEN.",
            ) from None  # the cause may hold the token
        case _:
            return "the connection broke"


def disk_error(error: OSError, place: Path, missing: int) -> PullError:
    """What the operating system's refusal means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(place, missing)
    if error.errno == errno.EFBIG:
        return PullError(
            "The file is too large for this disk",
            f"The file system that holds {place} cannot hold a file of this size.",
            "Move the cache to another disk with HF_HOME.",
        )
    return PullError(
        "The cache cannot be written",
        f"{place}: {error.strerror or error}.",
        "Make it writable, or choose another place with HF_HOME.",
    )
