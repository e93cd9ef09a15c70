"""How to reach Hugging Face, and what a revision of a repository holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from spnl_tui.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi


_NAME = "spnl-chat"


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(_NAME)
    except PackageNotFoundError:  # run from a checkout
        return "dev"


@dataclass(frozen=True, slots=True)
class HubAccess:
    """Where the hub is, and who asks.

    `endpoint` None is the one that huggingface_hub uses (HF_ENDPOINT, or huggingface.co). Who asks has the
    token of HF_TOKEN, else this `token`, else that of `hf auth login`; False is none at all. It shows in no
    repr, log or error.
    """

    endpoint: str | None = None
    token: str | Literal[False] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """The hub's address, without a slash at its end.

        Raises:
            HubError: HF_ENDPOINT is no address.
        """
        if self.endpoint:
            return self.endpoint.rstrip("/")
        check_endpoint()  # which huggingface_hub does not, or by a ValueError when it is imported
        from huggingface_hub import constants

        return constants.ENDPOINT.rstrip("/")

    def find_token(self) -> str | None:
        """The token as it is now. Reads a file: for threads."""
        if self.token is False:
            return None
        if self.token and not os.environ.get("HF_TOKEN"):
            return self.token
        from huggingface_hub import get_token

        return get_token()

    def api(self) -> HfApi:
        """The hub's API. Importing it takes 0.2 s the first time.

        Raises:
            HubError: HF_ENDPOINT is no address.
        """
        address = self.address
        from huggingface_hub import HfApi

        token = self.find_token() or False
        return HfApi(endpoint=address, token=token, library_name=_NAME, library_version=_version())

    def headers(self) -> dict[str, str]:
        """What to send with each request for a file."""
        from huggingface_hub.utils import build_hf_headers

        token = self.find_token() or False
        headers = build_hf_headers(token=token, library_name=_NAME, library_version=_version())
        # Compressed on the way, a file would have neither a known length nor ranges.
        return {**headers, "Accept-Encoding": "identity"}

    def page(self, repo: str) -> str:
        """The address of the repository's page, for a person to open."""
        return f"{self.address}/{repo}"


def check_endpoint() -> None:
    """See that HF_ENDPOINT, if it is set, is an address.

    Raises:
        HubError: it is none.
    """
    endpoint = os.environ.get("HF_ENDPOINT", "").strip()
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if endpoint and not good:
        raise HubError(
            "HF_ENDPOINT is wrong",
            f"HF_ENDPOINT is {endpoint!r}, which is no address.",
            "It must look like https://huggingface.co, which it is when it is not set.",
        )


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a commit.

    `etag` names the blob in the Hugging Face cache, and is a hash of the content: SHA-256 for large file
    storage (`lfs`), else the name that git gives a blob (the SHA-1 of "blob SIZE\\0" and the content).
    """

    path: str
    size: int
    etag: str
    lfs: bool


@dataclass(frozen=True, slots=True)
class RemoteRevision:
    """A repository at a commit. `repo` is spelled as the hub spells it."""

    repo: str
    commit: str
    files: Mapping[str, RemoteFile]


def read_revision(hub: HubAccess, repo: str, revision: str, *, timeout: float) -> RemoteRevision:
    """What the repository holds at this branch, tag or commit. Blocks: for threads.

    Raises:
        huggingface_hub.errors.HfHubHTTPError, httpx2.TransportError: as huggingface_hub does.
        HubError: the answer lacks sizes or hashes.
    """
    info = hub.api().model_info(repo, revision=revision, files_metadata=True, timeout=timeout)
    files = {}
    for sibling in info.siblings or ():
        etag = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
        if sibling.size is not None and etag is not None:
            files[sibling.rfilename] = RemoteFile(
                sibling.rfilename, sibling.size, etag, sibling.lfs is not None
            )
    if info.sha is None or (info.siblings and not files):
        raise HubError(
            f"{repo} cannot be pulled from here",
            "The hub tells neither the sizes nor the hashes of its files, so nothing could be verified.",
            "Unset HF_ENDPOINT, or use a mirror that answers like huggingface.co.",
        )
    return RemoteRevision(info.id, info.sha, files)


def neighbours(hub: HubAccess, repo: str, *, timeout: float) -> list[str]:
    """Names of repositories that may have been meant by one that is not there; empty if the hub does not say.

    Blocks: for threads. `HfApi.list_models` would retry for 23 s and knows no timeout.
    """
    import httpx2
    from huggingface_hub import get_session

    owner, _, name = repo.rpartition("/")
    for question in ({"author": owner}, {"search": name}):
        try:
            answer = get_session().get(
                f"{hub.address}/api/models",
                params={**question, "limit": "100"},
                headers=hub.headers(),
                timeout=timeout,
            )
            names = [str(model["id"]) for model in answer.json()]
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return []  # the hint is a kindness; the error that it belongs to is told in any case
        if names:
            return names
    return []
