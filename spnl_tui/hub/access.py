"""Access to Hugging Face: addresses, the user's token, and the files of a repository's revision."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from spnl_tui.errors import HubError
from spnl_tui.hub.failures import foreign_errors, setup_error

if TYPE_CHECKING:
    import httpx2


_NAME = "spnl-chat"
MAX_ANSWER_BYTES = 64 << 20
"""The most bytes to read from a response of the API.

The largest real responses, for 10,000 files, have 4 MB.
"""
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""The hash of a commit or of a file's content."""


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(_NAME)
    except PackageNotFoundError:  # the program runs from a checkout
        return "dev"


@dataclass(frozen=True, slots=True)
class HubAccess:
    """The address of the hub and the user's token.

    If `endpoint` is None, huggingface_hub's own is used (HF_ENDPOINT, or huggingface.co). Requests use the
    token in HF_TOKEN, else `token`, else that of `hf auth login`; False means no token. The token never
    appears in a repr, log or error.
    """

    endpoint: str | None = None
    token: str | Literal[False] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Return the hub's address without a slash at its end.

        Raises:
            HubError: HF_ENDPOINT is not an address.
        """
        if self.endpoint:
            return self.endpoint.rstrip("/")
        check_endpoint()  # huggingface_hub does not check it, or raises a ValueError when imported
        from huggingface_hub import constants

        return constants.ENDPOINT.rstrip("/")

    def find_token(self) -> str | None:
        """Return the current token. Reads a file, so call it in a thread."""
        if self.token is False:
            return None
        if self.token and not os.environ.get("HF_TOKEN"):
            return self.token
        from huggingface_hub import get_token

        return get_token()

    def headers(self) -> dict[str, str]:
        """Return the headers of a request for a file."""
        from huggingface_hub.utils import build_hf_headers

        token = self.find_token() or False
        headers = build_hf_headers(token=token, library_name=_NAME, library_version=_version())
        # Compressed transfers have no known length and no ranges.
        return {**headers, "Accept-Encoding": "identity"}

    def page(self, repo: str) -> str:
        """Return the address of the repository's page."""
        return f"{self.address}/{repo}"


def check_endpoint() -> None:
    """Check that HF_ENDPOINT, if set, is an address.

    Raises:
        HubError: HF_ENDPOINT is not an address.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").strip()
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if endpoint and not good:
        raise HubError(
            "HF_ENDPOINT is wrong",
            f"HF_ENDPOINT is {endpoint!r}, which is not an address.",
            "Unset it, or set it to an address like https://huggingface.co.",
        )


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a commit.

    `etag` is the name of the blob in the Hugging Face cache and a hash of the content: SHA-256 for large file
    storage (`lfs`), otherwise git's name for a blob (the SHA-1 of "blob SIZE\\0" and the content).
    """

    path: str
    size: int
    etag: str
    lfs: bool


@dataclass(frozen=True, slots=True)
class RemoteRevision:
    """A repository at a commit. `repo` has the hub's spelling."""

    repo: str
    commit: str
    files: Mapping[str, RemoteFile]


class BadStatus(Exception):
    """The hub answered with an error status."""

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(f"status {response.status_code}")
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.logged_in = has_token(response)


def has_token(response: httpx2.Response) -> bool:
    """Return True if the request had a token."""
    return "Authorization" in response.request.headers


def open_session() -> httpx2.Client:
    """Return huggingface_hub's session, which threads may share.

    Raises:
        HubError: the proxy or the certificates of this machine are misconfigured.
        OfflineModeIsEnabled: offline mode is on.
    """
    from huggingface_hub import get_session
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        return get_session()
    except OfflineModeIsEnabled:
        raise
    except foreign_errors(OSError, ImportError) as error:
        raise setup_error(error) from None  # the cause may hold a password


def read_revision(hub: HubAccess, repo: str, revision: str, *, timeout: float) -> RemoteRevision:
    """Return the contents of the repository at this branch, tag or commit. Blocks, so call it in a thread.

    Raises:
        BadStatus: the hub answered with an error status.
        HubError: the answer lacks sizes or hashes, or no request can be sent.
        Exception: one of `foreign_errors`.
    """
    from huggingface_hub.utils import validate_repo_id

    path = f"{hub.address}/api/models/{repo}/revision/{quote(revision, safe='')}"
    data = _get_json(path, hub, {"blobs": "true"}, timeout)
    name, commit, siblings = data["id"], data.get("sha"), data.get("siblings") or []
    validate_repo_id(name)
    files = {}
    for sibling in siblings:
        lfs = sibling.get("lfs") or {}
        size, etag = lfs.get("size", sibling.get("size")), lfs.get("sha256") or sibling.get("blobId")
        # The hash becomes the name of a file in the cache, so it must be a plain hash.
        if isinstance(size, int) and 0 <= size < 1 << 60 and isinstance(etag, str) and HASH.fullmatch(etag):
            file = RemoteFile(str(sibling["rfilename"]), size, etag, bool(lfs))
            files[file.path] = file
    if not isinstance(commit, str) or not HASH.fullmatch(commit) or (siblings and not files):
        raise HubError(
            f"{name} cannot be pulled from here",
            "The hub gives neither the sizes nor the hashes of its files, so nothing could be verified.",
            "Unset HF_ENDPOINT, or use a mirror that answers like huggingface.co.",
        )
    return RemoteRevision(name, commit, files)


def neighbours(hub: HubAccess, repo: str, *, timeout: float) -> list[str]:
    """Return similar names for a missing one; empty if the hub suggests none. Blocks: call it in a thread."""
    owner, _, name = repo.rpartition("/")
    for question in ({"author": owner}, {"search": name}):
        try:
            found = _get_json(f"{hub.address}/api/models", hub, {**question, "limit": "100"}, timeout)
            names = [str(model["id"]) for model in found]
        except foreign_errors(BadStatus, HubError):
            return []  # only a hint is lost, because the missing repository is reported anyway
        if names:
            return names
    return []


def _get_json(address: str, hub: HubAccess, params: Mapping[str, str], timeout: float) -> Any:
    """Return a JSON response. `HfApi` would retry for 23 s and read responses of any length."""
    import httpx2

    body = bytearray()
    until = time.monotonic() + 6 * timeout
    with open_session().stream(
        "GET", address, params=params, headers=hub.headers(), timeout=timeout, follow_redirects=True
    ) as response:
        if response.status_code >= 400:
            raise BadStatus(response)
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES or time.monotonic() > until:
                raise httpx2.RemoteProtocolError("the answer does not end")
    return json.loads(body)
