"""Finds the commit of a repository and its files on the hub."""

from __future__ import annotations

from collections.abc import Callable

from spnl_tui.errors import HubError
from spnl_tui.hub.access import (
    BadStatus,
    HubAccess,
    RemoteFile,
    RemoteRevision,
    neighbours,
    read_revision,
)
from spnl_tui.hub.failures import foreign_errors, why_again
from spnl_tui.hub.refusals import RepositoryNotFound, refusal, retry_after, with_nearest


def find_revision(
    hub: HubAccess,
    repo: str,
    revision: str,
    *,
    timeout: float,
    wait: Callable[[str, float | None], None],
) -> RemoteRevision:
    """Request the revision from the hub until it answers.

    `wait` waits before the next try. It receives the reason for the failure and the seconds that the hub asks
    to wait.

    Raises:
        HubError: the hub rejects the request, or pulls are switched off.
    """
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise HubError(f"{repo} is not a repository name", "It must look like owner/name.") from error
    while True:
        wait_s = None
        try:
            return read_revision(hub, repo, revision, timeout=timeout)
        except OfflineModeIsEnabled as error:
            raise HubError(
                "Pulls are switched off",
                "HF_HUB_OFFLINE is set, which forbids network access.",
                "Unset HF_HUB_OFFLINE to pull.",
            ) from error
        except BadStatus as answer:
            final = refusal(
                answer.status, answer.headers, repo, logged_in=answer.logged_in, revision=revision
            )
            if final is not None:
                if isinstance(final, RepositoryNotFound):
                    final = with_nearest(final, repo, neighbours(hub, repo, timeout=timeout))
                raise final from answer
            why, wait_s = f"the hub answered {answer.status}", retry_after(answer.headers)
        except foreign_errors() as error:
            why = why_again(error, timeout)
        wait(why, wait_s)


def file_at(hub: HubAccess, revision: RemoteRevision, path: str, asked_for: str) -> RemoteFile:
    """Return the file at a revision. Errors mention the revision as `asked_for`.

    Raises:
        HubError: there is no such file.
    """
    if (file := revision.files.get(path)) is not None:
        return file
    error = HubError(
        f"{revision.repo} has no file {path}",
        f"The file does not exist at {asked_for}.",
        f"See the files at {hub.page(revision.repo)}/tree/{asked_for}.",
    )
    raise with_nearest(error, path, revision.files)
