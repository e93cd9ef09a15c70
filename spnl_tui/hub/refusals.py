"""Errors for requests that the hub rejects, in searches and pulls.

The hub gives the reason in `X-Error-Code` and `X-Error-Message`, which huggingface_hub's
`hf_raise_for_status` also reads.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping

from spnl_tui.errors import HubError
from spnl_tui.models.facts import clean

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9_]{4,}")
_LONGEST_WAIT_S = 86_400.0
_PAGES = "https://huggingface.co"
"""The site where users accept licences, because mirrors have no accounts."""


class RepositoryNotFound(HubError):
    """The repository does not exist, or is hidden from this user."""


def refusal(
    status: int,
    headers: Mapping[str, str],
    repository: str,
    *,
    logged_in: bool,
    file: str = "",
    revision: str = "",
) -> HubError | None:
    """Return the error for a final response; None if a retry may help.

    `file` or `revision` is the requested item, unless it was the repository itself. `logged_in` is True if
    the request had a token.
    """
    code = headers.get("X-Error-Code", "")
    said = clean(redact(headers.get("X-Error-Message", "")), 200)
    page = f"{_PAGES}/{repository}"
    if code == "GatedRepo":
        login = "" if logged_in else " You are not logged in."
        return HubError(
            f"{repository} is gated",
            f"Only users who have accepted its licence may read it.{login}",
            f"Accept it at {page}, then log in with `hf auth login` or set HF_TOKEN.",
        )
    if said == "Access to this resource is disabled.":
        return HubError(
            f"{repository} is disabled",
            "Hugging Face has disabled this repository.",
            "Choose another repository.",
        )
    if status == 401 and logged_in:
        return HubError(
            "Hugging Face refused the token",
            "The token is invalid, has expired or was revoked.",
            "Log in again with `hf auth login`, or correct HF_TOKEN or MISTRALRS_HF_TOKEN.",
        )
    # Without a token, the hub answers 401 without a code for names that do not exist.
    if code == "RepoNotFound" or status == 401 or (status == 404 and not (code or file)):
        return RepositoryNotFound(
            f"{repository} was not found",
            "There is no such repository on Hugging Face, or it is private and you may not read it.",
            "Check the spelling. For a private repository, log in with `hf auth login` or set HF_TOKEN.",
        )
    if code == "RevisionNotFound":
        return HubError(
            f"{repository} has no revision {revision}" if revision else f"{repository} has no such revision",
            "No branch, tag or commit has this name.",
            f"See {page}/tree/main, or omit @REVISION.",
        )
    if status == 404:
        return HubError(
            f"{repository} has no {file or 'such file'}",
            "There is no such file on the hub.",
            f"See the files at {page}/tree/main.",
        )
    if status == 403:
        return HubError(
            f"Access to {repository} is denied",
            said or "Your token may not read this repository.",
            f"See {page}, or use a token that may read it.",
        )
    if 400 <= status < 500 and status not in (408, 416, 425, 429):
        return HubError(
            "Hugging Face refused the request",
            f"It answered with status {status} for {file or repository}{f': {said}' if said else ''}.",
            "Check the name of the model.",
        )
    return None


def redact(text: str) -> str:
    """Return the text with Hugging Face tokens and signed links removed."""
    return re.sub(r"\?[^\s'\"]*(?:Signature|token)=[^\s'\"]*", "?…", _TOKEN.sub("hf_…", text))


def with_nearest(error: HubError, wanted: str, known: Iterable[str]) -> HubError:
    """Return the error with the most similar known name as its hint, if there is one."""
    from spnl_tui.settings.nearest import did_you_mean  # imported only for errors, to keep the start fast

    question = did_you_mean(wanted, known)
    return HubError(error.title, error.message, clean(question, 200)) if question else error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the server asks to wait; None if it does not say.

    It uses Retry-After (seconds or a date) or the hub's own RateLimit header (`"api";r=0;t=55`).
    """
    from email.utils import parsedate_to_datetime

    from huggingface_hub.utils import parse_ratelimit_headers

    value = headers.get("Retry-After", "").strip()
    try:
        if value.isdecimal():
            return min(float(value), _LONGEST_WAIT_S)
        if value:
            wait_s = parsedate_to_datetime(value).timestamp() - time.time()
            return min(max(0.0, wait_s), _LONGEST_WAIT_S)
        limit = parse_ratelimit_headers(headers)
        if limit and limit.remaining == 0:
            return min(float(limit.reset_in_seconds), _LONGEST_WAIT_S)
    except (ValueError, ArithmeticError, OSError, TypeError):  # raised for dates and numbers out of range
        return None
    return None
