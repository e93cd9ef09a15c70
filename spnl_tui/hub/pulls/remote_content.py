"""Reads a file on the hub from any byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spnl_tui.hub.access import HubAccess, RemoteFile, RemoteRevision, has_token, open_session
from spnl_tui.hub.pulls.pacing import PullOptions, Stopped
from spnl_tui.hub.refusals import refusal, retry_after

if TYPE_CHECKING:
    import httpx2


class TryAgain(Exception):
    """The request failed and may be retried. `wait_s` is how long the server asks to wait, in seconds."""

    def __init__(self, why: str, wait_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s


class Body:
    """The response to a request. `in_place` is True if it starts at the requested byte."""

    def __init__(self, response: httpx2.Response, start: int, stop: threading.Event) -> None:
        self._response = response
        self._stop = stop
        self.in_place = response.status_code == 206 or not start
        self.refused = response.status_code == 416

    def blocks(self) -> Iterator[bytes]:
        """Yield the received data in blocks.

        Raises:
            Stopped: the stop event was set.
            httpx2.TransportError: the connection broke, or was silent for too long.
        """
        for block in self._response.iter_raw():
            if self._stop.is_set():
                raise Stopped
            yield block


class RemoteContent:
    """A file at a commit. Several threads can read it at the same time."""

    def __init__(
        self,
        file: RemoteFile,
        revision: RemoteRevision,
        *,
        hub: HubAccess,
        options: PullOptions,
        stop: threading.Event,
    ) -> None:
        self.file = file
        self._revision = revision
        self._hub = hub
        self._options = options
        self._stop = stop
        self._sockets: set[socket.socket] = set()

    def abort(self) -> None:
        """Wake all threads that wait for data. Set the stop event first."""
        for connection in tuple(self._sockets):
            with suppress(OSError):  # the connection may already be closed
                connection.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def open(self, start: int, end: int | None = None) -> Iterator[Body]:
        """Request the bytes from `start` to before `end`, or to the end of the file.

        Raises:
            HubError: the hub rejects the request, and a retry cannot help.
            TryAgain: the response is unusable, but a retry may help.
            Stopped, httpx2.TransportError: see Body.blocks.
        """
        import httpx2
        from huggingface_hub import hf_hub_url

        revision, options = self._revision, self._options
        # Request a new link to the CDN each time, because links expire. When redirected to another origin,
        # the client omits the token.
        url = hf_hub_url(revision.repo, self.file.path, revision=revision.commit, endpoint=self._hub.address)
        headers = self._hub.headers()
        if start or end is not None:
            headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        timeout = httpx2.Timeout(options.connect_s, read=options.stall_s)
        with open_session().stream(
            "GET", url, headers=headers, timeout=timeout, follow_redirects=True
        ) as response:
            self._check(response, start)
            stream = response.extensions.get("network_stream")
            connection = stream.get_extra_info("socket") if stream else None
            if connection is not None:
                self._sockets.add(connection)
            try:
                if self._stop.is_set():  # `abort` may have run just before the socket existed
                    raise Stopped
                yield Body(response, start, self._stop)
            finally:
                self._sockets.discard(connection)

    def _check(self, response: httpx2.Response, start: int) -> None:
        """Check that the body is the requested range or the whole file."""
        status = response.status_code
        is_page = response.headers.get("Content-Type", "").lower().startswith("text/html")
        if status in (200, 206) and is_page and not self.file.path.endswith((".html", ".htm")):
            raise TryAgain("the server sent a web page instead of the file")
        if status in (200, 416):
            return
        if status == 206:
            # A shorter range is acceptable, like a connection that closes early.
            given = response.headers.get("Content-Range", "")
            if given.startswith(f"bytes {start}-") and given.endswith(f"/{self.file.size}"):
                return
            raise TryAgain(f"the server sent another range ({given or 'unnamed'})")
        ours = urlsplit(self._hub.address)
        if (response.url.scheme, response.url.netloc.decode()) == (ours.scheme, ours.netloc):
            error = refusal(
                status,
                response.headers,
                self._revision.repo,
                logged_in=has_token(response),
                file=self.file.path,
            )
            if error is not None:
                raise error
        if status == 429:
            raise TryAgain("the hub asks to slow down", retry_after(response.headers))
        if status in (401, 403, 404):
            raise TryAgain("the link had expired")
        raise TryAgain(f"the server answered {status}", retry_after(response.headers))
