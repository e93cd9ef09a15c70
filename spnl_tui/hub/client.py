"""Requests to Hugging Face: asynchronous, with a time limit, and with errors that a user understands.

The HTTP session, its offline switch and the meaning of refusals are huggingface_hub's. Its own list and info
calls are not used: they block a thread, try again for 23 seconds before they say that nobody is there, and
some have no time limit. A request here ends when its task is cancelled, so a stale answer costs nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from spnl_tui.errors import HubError
from spnl_tui.hub.access import retry_after
from spnl_tui.models.facts import clean

if TYPE_CHECKING:
    import httpx2

_T = TypeVar("_T")
TokenProvider = Callable[[], str | None]
Params = Mapping[str, str | int | Sequence[str]]

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9_]{4,}")
_SLOWEST = 50_000
"""Bytes per second below which the transfer of a header is given up."""
_ON_THIS_MACHINE = "What is on this machine can still be used."


class OfflineError(HubError):
    """The hub could not be reached, or may not be."""


class GatedError(HubError):
    """The authors want their conditions accepted first."""


class NotFoundError(HubError):
    """There is no such repository, revision or file, or this token may not see it."""


class RateLimitError(HubError):
    """Too many requests. `retry_after_s` is the hub's own word, or None."""

    def __init__(self, title: str, message: str, hint: str, retry_after_s: float | None) -> None:
        super().__init__(title, message, hint)
        self.retry_after_s = retry_after_s


def find_token() -> str | None:
    """The user's token as it is now: HF_TOKEN, MISTRALRS_HF_TOKEN, or that of `hf auth login`."""
    if not os.environ.get("HF_TOKEN") and (token := os.environ.get("MISTRALRS_HF_TOKEN", "").strip()):
        return token
    from huggingface_hub import get_token

    return get_token()


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON answer, and the path of the page after it, if there is one."""

    data: Any
    next: str | None


class HubClient:
    """One session with the hub. Requests may run at once, on one event loop.

    `endpoint` is HF_ENDPOINT if not given. `timeout` is in seconds: the limit for each answer of the API, and
    for each pause in the transfer of a file.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        token: TokenProvider = find_token,
        timeout: float = 15.0,
    ) -> None:
        self._endpoint = endpoint
        self._find_token = token
        self._timeout = timeout
        self._session: asyncio.Task[tuple[httpx2.AsyncClient, str]] | None = None

    async def get_json(self, path: str, params: Params | None = None) -> Answer:
        """The answer to GET `path` (`/api/…`, or the `next` of an answer).

        Raises:
            HubError: refused, failed, silent or unreachable; its subclass tells which.
        """
        with self._errors(path):
            async with asyncio.timeout(self._timeout):
                session, endpoint = await self._open()
                response = await session.get(
                    endpoint + path, params=params and dict(params), headers=await self._headers()
                )
                _check(response)
                return Answer(response.json(), _next_page(response, endpoint))

    async def get_range(self, repository: str, revision: str, file: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a file, fewer only where the file ends.

        Raises:
            HubError: as in `get_json`.
        """
        received = bytearray()
        with self._errors(f"/{repository}/{file}"):
            async with asyncio.timeout(self._timeout + (stop - start) / _SLOWEST):
                session, endpoint = await self._open()
                url = f"{endpoint}/{repository}/resolve/{quote(revision, safe='')}/{quote(file)}"
                wanted = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
                async with session.stream("GET", url, headers=wanted | await self._headers()) as response:
                    if response.status_code == 416:
                        return b""
                    if response.status_code >= 400:
                        await response.aread()
                    _check(response)
                    # A server that ignores ranges sends the file from its beginning: take what is needed.
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

    async def _open(self) -> tuple[httpx2.AsyncClient, str]:
        if self._session is None or _failed(self._session):
            # A task of its own: a cancelled request must not take the session that others wait for with it.
            self._session = asyncio.create_task(asyncio.to_thread(self._make_session))
        return await asyncio.shield(self._session)

    def _make_session(self) -> tuple[httpx2.AsyncClient, str]:
        # In a thread: the import and the certificates take a tenth of a second.
        from huggingface_hub import constants, get_async_session

        session = get_async_session()
        session.timeout = self._timeout
        return session, (self._endpoint or constants.ENDPOINT).rstrip("/")

    async def _headers(self) -> dict[str, str]:
        token = await asyncio.to_thread(self._find_token)
        return {"Authorization": f"Bearer {token}"} if token else {}

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        """Failures of one request, in the user's words."""
        try:
            yield
        except Exception as error:
            understood = _understood(error, path, self._timeout)
            if understood is None:
                raise
            # What huggingface_hub says holds addresses, which may be signed.
            raise understood from None


def _failed(task: asyncio.Task[_T]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _check(response: httpx2.Response) -> None:
    from huggingface_hub import hf_raise_for_status

    hf_raise_for_status(response)


def _next_page(response: httpx2.Response, endpoint: str) -> str | None:
    """The page after this one, as a path: the token goes to the user's endpoint, not where an answer says."""
    url = response.links.get("next", {}).get("url")
    if not url:
        return None
    parts = urlsplit(url)
    return f"{parts.path.removeprefix(urlsplit(endpoint).path)}?{parts.query}"


def _understood(error: Exception, path: str, timeout: float) -> HubError | None:
    """The error in the user's words; None if it is none of the hub's or the network's."""
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
        return OfflineError(
            "Hugging Face does not answer",
            f"No answer within {timeout:g} s.",
            f"Try again later. {_ON_THIS_MACHINE}",
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return OfflineError(
            "Offline mode is on", "HF_HUB_OFFLINE forbids requests.", f"Unset it. {_ON_THIS_MACHINE}"
        )
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, _repository_in(path))
    why = clean(redact(str(error)), 200) or type(error).__name__
    if isinstance(error, (httpx2.TransportError, OSError)):
        return OfflineError(
            "Hugging Face cannot be reached", f"{why}.", f"Check the network. {_ON_THIS_MACHINE}"
        )
    if isinstance(error, (httpx2.HTTPError, ValueError)):
        return HubError("The hub's answer makes no sense", f"{why}.", "Try again later.")
    return None


def redact(text: str) -> str:
    """The text without anything that looks like a token of Hugging Face, or a signed link."""
    return re.sub(r"\?[^\s'\"]*(?:Signature|token)=[^\s'\"]*", "?…", _TOKEN.sub("hf_…", text))


def _repository_in(path: str) -> str:
    match = re.match(r"(?:/api/models)?/([^/?]+/[^/?]+)", path)
    return match[1] if match else "this"


def _refusal(error: Any, repository: str) -> HubError:
    """What the hub meant. The order matters: gated is a kind of not found to huggingface_hub."""
    from huggingface_hub import errors

    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        return GatedError(
            f"{repository} is gated",
            "Its authors want their conditions accepted, by an account that is logged in.",
            f"Accept them at https://huggingface.co/{repository}, then `hf auth login` or set HF_TOKEN.",
        )
    if isinstance(error, errors.DisabledRepoError):
        return NotFoundError(
            f"{repository} is disabled", "Hugging Face has closed it.", "Choose another repository."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return NotFoundError(
            f"No repository {repository}",
            "It does not exist, or it is private and this token may not read it.",
            "Check the name. For a private one, log in with `hf auth login` or set HF_TOKEN.",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return NotFoundError(
            "No such revision",
            f"{repository} has no such branch, tag or commit.",
            "Leave out @REVISION for main.",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return NotFoundError(
            "No such file", f"{repository} does not have this file.", "Look at its files again."
        )
    if status == 401:
        return HubError(
            "The token is not valid",
            "Hugging Face does not know the token that was sent.",
            "Log in again with `hf auth login`, or correct HF_TOKEN or MISTRALRS_HF_TOKEN.",
        )
    if status == 429:
        wait = retry_after(error.response.headers)
        when = f"in {wait:.0f} s" if wait else "a little later"
        return RateLimitError(
            "Too many requests",
            f"Hugging Face asks to try again {when}.",
            f"Wait, or log in for a higher limit. {_ON_THIS_MACHINE}",
            wait,
        )
    if status >= 500:
        return HubError(
            "Hugging Face has a problem",
            f"It answered with status {status}.",
            f"Try again later. {_ON_THIS_MACHINE}",
        )
    said = clean(redact(error.response.headers.get("X-Error-Message") or ""), 200)
    return HubError(
        "Hugging Face refused",
        f"Status {status}{f': {said}' if said else ''}.",
        "Check the name and your token.",
    )
