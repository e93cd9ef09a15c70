"""Saves the queue of pulls between runs of the program.

`downloads.json` holds {"version": 1, "downloads": [...], "dropping": [...]}: the pulls in order, and the
pulls whose data is still to be deleted. The file is replaced atomically whenever a pull enters, leaves or
changes its state. The actual progress comes from the incomplete files, not from here.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from spnl_tui.errors import SpnlError, cause_of
from spnl_tui.hub.pulls.pull import PullRequest

RememberedState = Literal["under way", "paused", "failed"]
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A pull in the file. `done` and `total` are in bytes and for display only."""

    id: str
    name: str
    request: PullRequest
    state: RememberedState = "under way"
    done: int = 0
    total: int | None = None
    error: tuple[str, str, str] | None = None
    """Title, message and hint of the error that stopped it."""


class QueueFile:
    """The file, with a lock that makes one program its owner. Other programs have no file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = contextlib.ExitStack()
        self.owned = False

    def open(self) -> tuple[list[Remembered], list[PullRequest], str]:
        """Become the owner. Return the pulls, the pulls whose data is still to be deleted, and a problem or
        "".

        An invalid file is renamed, not overwritten.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._held.enter_context(self._path.with_suffix(".lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system releases it if the process dies
        except BlockingIOError:
            return [], [], "Another spnl-chat saves the list of pulls. Pulls begun here are not saved."
        except OSError as error:
            return [], [], f"The list of pulls cannot be saved: {cause_of(error)}."
        self.owned = True
        try:
            data = json.loads(self._path.read_bytes())
            pulls = [_read(item) for item in data["downloads"]]
            return pulls, [_read_request(item) for item in data["dropping"]], ""
        except FileNotFoundError:
            return [], [], ""
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
            aside = self._path.with_suffix(".broken")
            with contextlib.suppress(OSError):
                os.replace(self._path, aside)
            return [], [], f"The list of pulls could not be read and was moved to {aside}."

    def save(self, pulls: Sequence[Remembered], dropping: Sequence[PullRequest]) -> None:
        """Replace the content of the file, if this program owns it.

        Raises:
            OSError: the file cannot be written.
        """
        if not self.owned:
            return
        data = {
            "version": _VERSION,
            "downloads": [_write(pull) for pull in pulls],
            "dropping": [_write_request(request) for request in dropping],
        }
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(data, indent=1))
        os.replace(temporary, self._path)

    def close(self) -> None:
        """Give up ownership."""
        self.owned = False
        self._held.close()


def as_tuple(error: SpnlError | None) -> tuple[str, str, str] | None:
    """Return the error in the form in which the file stores it."""
    return None if error is None else (error.title, error.message, error.hint)


def _write_request(request: PullRequest) -> dict[str, Any]:
    return {
        "repo": request.repo,
        "files": list(request.files),
        "revision": request.revision,
        "label": request.label,
    }


def _read_request(item: dict[str, Any]) -> PullRequest:
    repo, files, revision = item["repo"], item["files"], item["revision"]
    label = item.get("label", "")  # version 0.1.0 did not write a label
    if not all(isinstance(text, str) for text in (repo, revision, label, *files)):
        raise TypeError("not a request")
    return PullRequest(repo, tuple(files), revision, label)


def _write(pull: Remembered) -> dict[str, Any]:
    return {
        "id": pull.id,
        "name": pull.name,
        **_write_request(pull.request),
        "state": pull.state,
        "done": pull.done,
        "total": pull.total,
        "error": pull.error,
    }


def _read(item: dict[str, Any]) -> Remembered:
    if item["state"] not in get_args(RememberedState):
        raise ValueError(item["state"])
    error = item["error"]
    return Remembered(
        id=str(item["id"]),
        name=str(item["name"]),
        request=_read_request(item),
        state=item["state"],
        done=int(item["done"]),
        total=None if item["total"] is None else int(item["total"]),
        error=None if error is None else (str(error[0]), str(error[1]), str(error[2])),
    )
