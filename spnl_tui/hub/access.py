"""How to reach Hugging Face, what a revision of a repository holds, and what a refusal means."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from spnl_tui.errors import HubError
from spnl_tui.models.facts import clean

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

    `endpoint` None is the one that huggingface_hub uses (HF_ENDPOINT, or huggingface.co). `token` None is the
    one that it finds (HF_TOKEN, or `hf auth login`), and False is none at all. The token shows in no repr,
    log or error.
    """

    endpoint: str | None = None
    token: str | Literal[False] | None = field(default=None, repr=False)

    def api(self) -> HfApi:
        """The hub's API. Importing it takes 0.2 s the first time."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token, library_name=_NAME, library_version=_version())

    def headers(self) -> dict[str, str]:
        """What to send with each request for a file."""
        from huggingface_hub.utils import build_hf_headers

        headers = build_hf_headers(token=self.token, library_name=_NAME, library_version=_version())
        # Compressed on the way, a file would have neither a known length nor ranges.
        return {**headers, "Accept-Encoding": "identity"}

    def page(self, repo: str) -> str:
        """The address of the repository's page, for a person to open."""
        return f"{self.api().endpoint}/{repo}"


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


def refusal(hub: HubAccess, repo: str, status: int, headers: Mapping[str, str], what: str) -> HubError | None:
    """What the hub's answer means to the user, if it is final; None if trying again may help.

    `what` is the file or the revision that was asked for.
    """
    code = headers.get("X-Error-Code", "")
    if code == "GatedRepo":
        return HubError(
            f"{repo} asks you to accept its licence",
            "Its owner lets only those in who have agreed to the terms."
            if status == 403
            else "It is gated, and you are not logged in.",
            f"Accept the terms at {hub.page(repo)}, then log in with `hf auth login` or set HF_TOKEN.",
        )
    if status == 401 and code != "RepoNotFound":
        return HubError(
            "Hugging Face refused the token",
            "The token is invalid, has expired or was revoked.",
            "Log in again with `hf auth login`, or set HF_TOKEN to a valid token.",
        )
    if code == "RepoNotFound":
        return HubError(
            f"{repo} was not found",
            "There is no such repository on Hugging Face, or it is private and you may not read it.",
            "Check the spelling; for a private one, log in with `hf auth login`.",
        )
    if code == "RevisionNotFound":
        return HubError(
            f"{repo} has no revision {what}",
            "No branch, tag or commit has this name.",
            f"Look at {hub.page(repo)}/tree/main.",
        )
    if status == 404:
        return HubError(
            f"{repo} has no {what}", "The hub does not know it.", f"Look at {hub.page(repo)}/tree/main."
        )
    if status == 403:
        return HubError(
            f"Access to {repo} is denied",
            "Your token may not read this repository.",
            f"Look at {hub.page(repo)}, or use a token that may read it.",
        )
    if 400 <= status < 500 and status not in (408, 416, 425, 429):
        return HubError(f"{repo} cannot be pulled", f"The hub answered {status} for {what}.")
    return None


def with_nearest(error: HubError, wanted: str, known: Iterable[str]) -> HubError:
    """The error, with the nearest of the known names as its hint, if any is near."""
    from spnl_tui.settings.nearest import did_you_mean  # errors only: not worth importing at every start

    question = did_you_mean(wanted, known)
    return HubError(error.title, error.message, clean(question, 200)) if question else error


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
                f"{hub.api().endpoint}/api/models",
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


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How many seconds the server asks to wait: from Retry-After (seconds or a date), or the hub's own
    RateLimit header (`"api";r=0;t=55`)."""
    from email.utils import parsedate_to_datetime

    from huggingface_hub.utils import parse_ratelimit_headers

    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    if value:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            return None
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else None
