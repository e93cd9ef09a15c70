"""Saves the unsent prompt to a file, so that the next start restores it, however the program ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_MOST = 20
"""The most programs whose drafts are kept at the same time."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """An unsent prompt."""

    typed: str = ""
    pasted: Mapping[str, str] = field(default_factory=dict)
    """The pasted texts, by their placeholders in `typed`."""


class DraftFile:
    """The draft of one running program. A lock gives each running program a file of its own.

    Methods may run in a thread. Failures to write are only logged, so that they do not interrupt the user.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()
        self._file: Path | None = None

    def open(self) -> Draft:
        """Lock a file, and return the draft that an earlier program left, preferring the latest."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            left = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
            for file in [*left, *(self._folder / f"{number}.json" for number in range(_MOST))]:
                lock = file.with_suffix(".lock").open("a")
                try:
                    # the system releases it if the process dies
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lock.close()
                    continue
                self._held.enter_context(lock)
                self._file = file
                return _read(file)
        except OSError as error:
            _log.warning("drafts are not kept: %s", error)
        return Draft()

    def save(self, draft: Draft) -> None:
        """Replace the draft in the file."""
        with self._lock:
            if self._file is None:
                return
            try:
                if not draft.typed.strip():
                    self._file.unlink(missing_ok=True)
                    return
                temporary = self._file.with_suffix(".tmp")
                with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
                    json.dump({"typed": draft.typed, "pasted": dict(draft.pasted)}, stream)
                os.replace(temporary, self._file)
            except OSError as error:
                _log.warning("the draft is not kept: %s", error)

    def close(self) -> None:
        """Release the file to the next program."""
        with self._lock:
            self._file = None
            self._held.close()


def _read(file: Path) -> Draft:
    try:
        data = json.loads(file.read_bytes())
        typed, pasted = data["typed"], data["pasted"]
    except FileNotFoundError:
        return Draft()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _log.warning("the draft in %s cannot be read: %s", file, error)
        return Draft()
    if not isinstance(typed, str) or not isinstance(pasted, dict):
        return Draft()
    return Draft(typed, {str(token): str(text) for token, text in pasted.items()})
