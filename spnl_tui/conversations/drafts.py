"""The unsent prompt in a file, so that the next start has it, however the program ended."""

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
"""Programs whose drafts are kept side by side."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """A prompt that was not sent."""

    typed: str = ""
    pasted: Mapping[str, str] = field(default_factory=dict)
    """The pasted texts, by the words that represent them in `typed`."""


class DraftFile:
    """The draft of one running program. A lock keeps programs that run side by side apart.

    Methods may run in a thread. A draft that cannot be written is logged: it must not disturb what is typed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._held = contextlib.ExitStack()
        self._file: Path | None = None

    def open(self) -> Draft:
        """Take over a file, and return the draft that an earlier program left in it, the latest first."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            left = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
            for file in [*left, *(self._folder / f"{number}.json" for number in range(_MOST))]:
                lock = file.with_suffix(".lock").open("a")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system frees it when we die
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
        """Leave the file to the next program."""
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
