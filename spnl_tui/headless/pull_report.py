"""The report of `spnl-chat pull` on one pull.

The path goes to standard output, in a form that `-m` accepts. Everything else goes to standard error: on a
terminal one changing line, elsewhere a line at each change of state and every few seconds. With `--json`,
standard output has a line for each event and standard error is empty.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

from spnl_tui.errors import SpnlError
from spnl_tui.headless.output import Transient, show_error
from spnl_tui.hub.pulls.progress import PullFinished, PullNoted, PullProgressed
from spnl_tui.hub.starter import StarterProgressed
from spnl_tui.models.files.local import LocalModel
from spnl_tui.text import duration, in_bytes, plain

_PLAIN_LINE_S = 5.0


class PullReport:
    """Reports on the pull called `name`."""

    def __init__(self, name: str, *, quiet: bool, json_lines: bool) -> None:
        self.name = name
        self._quiet = quiet
        self._json = json_lines
        self._status = Transient(on=not quiet and not json_lines)
        self._told_at = 0.0
        self._stage = ""

    def event(self, event: PullProgressed | PullNoted) -> None:
        """Report the progress."""
        if self._json:
            self._print(event)
        elif isinstance(event, PullNoted):
            self._say(f"{self.name}: {event.text}")
        else:
            self._progress(event)

    def starter(self, event: StarterProgressed) -> None:
        """Report the progress of the starter's download, which has no speed of its own."""
        if self._json:
            self._print(event)
            return
        source = f" from {event.source}" if event.source else ""
        self._show(event.stage, f"{event.stage}{source}", event.done, event.total, ())

    def finished(self, model: LocalModel, finished: PullFinished | None = None) -> None:
        """Print where the complete model is."""
        self._status.clear()
        path = model.directory / model.files[0] if model.files else model.directory
        if not self._json:
            print(path, flush=True)
            return
        self._print(
            finished,
            type="PullFinished",
            path=path,
            files=[model.directory / file for file in model.files] if finished is None else finished.files,
        )

    def failed(self, error: SpnlError) -> None:
        """Report the failure of the pull."""
        self._status.clear()
        if self._json:
            self._print(None, type="PullFailed", title=error.title, message=error.message, hint=error.hint)
        else:
            show_error(error)

    def paused(self, command: str) -> None:
        """Report that the same command resumes the interrupted pull, even in quiet mode."""
        self._status.clear()
        if self._json:
            self._print(None, type="PullPaused", go_on=command)
        else:
            print(plain(f"Paused; what has come is kept. Go on: {command}"), file=sys.stderr, flush=True)

    def _progress(self, event: PullProgressed) -> None:
        more = []
        if event.bytes_per_s:
            more.append(f"{in_bytes(event.bytes_per_s)}/s")
        if event.eta_s is not None:
            more.append(f"{duration(event.eta_s)} left")
        self._show(event.stage, event.words, event.done, event.total, more)

    def _show(self, stage: str, words: str, done: int, total: int | None, more: Any) -> None:
        amount = [f"{done / total:4.0%} of {in_bytes(total)}"] if total else []
        line = " · ".join([f"{self.name}: {words}", *amount, *more])
        if self._status.on:
            self._status.show(line)
            return
        now = time.monotonic()
        if stage != self._stage or now - self._told_at >= _PLAIN_LINE_S:
            self._stage, self._told_at = stage, now
            self._say(line)

    def _say(self, line: str) -> None:
        if not self._quiet:
            self._status.clear()
            print(plain(line), file=sys.stderr, flush=True)

    def _print(self, event: Any, **more: Any) -> None:
        fields = {} if event is None else {"type": type(event).__name__, **dataclasses.asdict(event)}
        line = {"type": "", "model": self.name, **fields, **more}
        print(json.dumps(line, default=_plain_path), flush=True)


def _plain_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} cannot be written as JSON")
