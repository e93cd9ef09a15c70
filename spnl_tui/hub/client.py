"""Asynchronous requests to Hugging Face, with time limits and errors reworded for the user.

The HTTP session and its offline switch are huggingface_hub's. Its list and info calls are not used: they
block a thread, retry for 23 seconds before they report an unreachable hub, and some have no time limit. A
request here ends when its task is cancelled, so a stale response costs nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from spnl_tui.errors import HubError
from spnl_tui.hub.access import MAX_ANSWER_BYTES, HubAccess, has_token
from spnl_tui.hub.failures import foreign_errors, redirect_loop, setup_error
from spnl_tui.hub.refusals import redact, refusal, retry_after
from spnl_tui.models.facts import clean

if TYPE_CHECKING:
    import httpx2

_T = TypeVar("_T")
Params = Mapping[str, str | int | Sequence[str]]

_SLOWEST = 50_000
"""The speed in bytes per second below which the transfer of a header fails."""
_ON_THIS_MACHINE = "You can still use the models on this machine."


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON response, and the path of the next page, if any."""

    data: Any
    next: str | None


class HubClient:
    """A session with the hub. Requests can run concurrently on one event loop.

    `timeout` is the limit in seconds for each response of the API and for each pause in a transfer.
    """

    def __init__(self, hub: HubAccess, *, timeout: float = 15.0) -> None:
        self._hub = hub
        self._timeout = timeout
        self._session: asyncio.Task[tuple[httpx2.AsyncClient, str]] | None = None

    async def prepare(self) -> None:
        """Import and open everything for the first request, without sending one.

        Raises:
            HubError: requests cannot be made.
        """
        with self._errors():
            await self._open()

    async def get_json(self, path: str, params: Params | None = None) -> Answer:
        """Return the response to GET `path` (`/api/…`, or the `next` of a response).

        Raises:
            HubError: the hub rejects the request, fails, is silent or cannot be reached.
        """
        received = bytearray()
        with self._errors():
            session, endpoint, headers = await self._open()
            async with asyncio.timeout(self._timeout):
                given = params and dict(params)
                async with session.stream("GET", endpoint + path, params=given, headers=headers) as response:
                    _check(response, self._hub, path)
                    async for chunk in response.aiter_bytes():
                        received += chunk
                        if len(received) > MAX_ANSWER_BYTES:
                            raise ValueError("it is too long")
                return Answer(json.loads(received), _next_page(response, endpoint))

    async def get_range(self, repository: str, revision: str, file: str, start: int, stop: int) -> bytes:
        """Return the bytes of a file from `start` to before `stop`, or fewer at its end.

        Raises:
            HubError: as in `get_json`.
        """
        received = bytearray()
        with self._errors():
            path = f"/{repository}/resolve/{quote(revision, safe='')}/{quote(file)}"
            session, endpoint, headers = await self._open()
            headers |= {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
            async with asyncio.timeout(self._timeout + (stop - start) / _SLOWEST):
                async with session.stream("GET", endpoint + path, headers=headers) as response:
                    if response.status_code == 416:
                        return b""
                    _check(response, self._hub, path, file)
                    # A server that ignores ranges sends the file from its beginning, so take the needed part.
                    skip = start if response.status_code == 200 else 0
                    async for chunk in response.aiter_bytes():
                        received += chunk
                        if len(received) >= skip + stop - start:
                            break
        return bytes(received[skip : skip + stop - start])

    async def close(self) -> None:
        """End the session. Requests still running fail."""
        opening, self._session = self._session, None
        if opening is not None and not _failed(opening):
            session, _ = await opening
            await session.aclose()

    async def _open(self) -> tuple[httpx2.AsyncClient, str, dict[str, str]]:
        """Return the session, the address and the headers. Only the first call takes long."""
        if self._session is None or _failed(self._session):
            # Use a separate task, because a cancelled request must not cancel the session that others wait
            # for.
            self._session = asyncio.create_task(asyncio.to_thread(self._make_session))
        session, endpoint = await asyncio.shield(self._session)
        token = await asyncio.to_thread(self._hub.find_token)
        return session, endpoint, {"Authorization": f"Bearer {token}"} if token else {}

    def _make_session(self) -> tuple[httpx2.AsyncClient, str]:
        # Use a thread, because the imports and the certificates take a tenth of a second.
        address = self._hub.address
        from huggingface_hub import get_async_session
        from huggingface_hub.errors import OfflineModeIsEnabled

        with suppress(ImportError):  # otherwise the first request imports it, which blocks the interface
            import_module("anyio._backends._asyncio")
        try:
            session = get_async_session()
        except OfflineModeIsEnabled:
            raise
        except foreign_errors(OSError, ImportError) as error:
            raise setup_error(error) from None  # the cause may hold a password
        session.timeout = self._timeout
        return session, address

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Reword the failures of one request for the user."""
        try:
            yield
        except Exception as error:
            understood = _understood(error, self._timeout)
            if understood is None:
                raise
            # huggingface_hub's messages contain addresses, which may be signed.
            raise understood from None


def _failed(task: asyncio.Task[_T]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _check(response: httpx2.Response, hub: HubAccess, path: str, file: str = "") -> None:
    """Raise HubError unless the response reports success."""
    status, headers = response.status_code, response.headers
    if status < 400:
        return
    # An error from a server to which the hub redirected says nothing about the repository.
    ours = str(response.url).startswith(f"{hub.address}/")
    error = None
    repository = _repository_in(path)
    if ours and repository is None and status < 500 and status not in (408, 425, 429):
        raise HubError(
            "Hugging Face refused the request",
            f"It answered a search with status {status}.",
            f"Log in again with `hf auth login`, or try again later. {_ON_THIS_MACHINE}",
        )
    if ours and repository is not None:
        error = refusal(status, headers, repository, logged_in=has_token(response), file=file)
    if error is None and status == 429:
        wait = retry_after(headers)
        error = HubError(
            "Too many requests",
            f"Hugging Face asks to try again {f'in {wait:.0f} s' if wait else 'soon'}.",
            f"Wait, or log in for a higher limit. {_ON_THIS_MACHINE}",
        )
    raise error or HubError(
        "Hugging Face failed",
        f"It answered with status {status}.",
        f"Try again later. {_ON_THIS_MACHINE}",
    )


def _next_page(response: httpx2.Response, endpoint: str) -> str | None:
    """Return the path of the next page without its host, so that the token stays at the user's endpoint."""
    url = response.links.get("next", {}).get("url")
    if not url:
        return None
    parts = urlsplit(url)
    return f"{parts.path.removeprefix(urlsplit(endpoint).path)}?{parts.query}"


def _understood(error: Exception, timeout: float) -> HubError | None:
    """Return the error, reworded for the user; None if neither the hub nor the network caused it."""
    if isinstance(error, HubError):
        return error
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
        return HubError(
            "Hugging Face does not answer",
            f"No answer within {timeout:g} s.",
            f"Try again later. {_ON_THIS_MACHINE}",
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(
            "Offline mode is on", "HF_HUB_OFFLINE forbids requests.", f"Unset it. {_ON_THIS_MACHINE}"
        )
    why = clean(redact(str(error)), 200).rstrip(".") or type(error).__name__
    if isinstance(error, (httpx2.TransportError, OSError)):
        return HubError("Hugging Face cannot be reached", f"{why}.", f"Check the network. {_ON_THIS_MACHINE}")
    if isinstance(error, httpx2.TooManyRedirects):
        return redirect_loop()
    if isinstance(error, foreign_errors()):
        return HubError("Cannot read the hub's answer", f"{why}.", "Try again later.")
    return None


def _repository_in(path: str) -> str | None:
    match = re.match(r"(?:/api/models/|/(?!api/))([^/?]+/[^/?]+)", path)
    return match[1] if match else None
