"""`spnl-chat pull`, and the model that another command needs."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from spnl_tui.errors import HubError
from spnl_tui.headless.output import OK, Transient
from spnl_tui.hub.progress import PullEvent, PullFinished, PullNoted, PullProgressed
from spnl_tui.hub.pull import pull as hub_pull
from spnl_tui.hub.starter import STARTER, StarterReady
from spnl_tui.hub.wanted import find_wanted
from spnl_tui.models.local import LocalModel
from spnl_tui.models.reference import ModelReference
from spnl_tui.services import Services
from spnl_tui.text import in_bytes, plain

_PLAIN_LINE_S = 5.0
"""Where there is no terminal, progress comes as a line this often."""


async def model_for(services: Services) -> LocalModel:
    """The model that the settings name, for a command that needs one now. The starter is fetched if need be.

    Raises:
        SpnlError: it is not on this machine, or there is none.
    """
    if (model := await services.find_model()) is not None:
        return model
    wanted = services.settings.model.default
    if wanted is None:
        raise HubError(
            "There is no model on this machine yet",
            "No model was named, and the starter model is not here.",
            "Get one: spnl-chat pull starter",
        )
    if not ModelReference.parse(wanted).is_starter:
        raise HubError(
            "The model is not on this machine",
            f"{wanted} has not been pulled.",
            f"Get it: spnl-chat pull {wanted}",
        )
    return await _fetch_starter(services, Transient())


async def pull(services: Services, names: Sequence[str], *, quiet: bool, json_lines: bool) -> int:
    """Pull each model and print the path of its first file, or its events as JSON lines."""
    references = [ModelReference.parse(name) for name in names]
    for name, reference in zip(names, references, strict=True):
        if reference.path is not None:
            raise HubError(
                "Nothing to pull", f"{name} is a path on this machine.", "Use it as it is: -m PATH"
            )
    for reference in references:
        reporter = Reporter(reference.pretty, quiet=quiet, json_lines=json_lines)
        if reference.is_starter:
            model = await _fetch_starter(services, reporter.status)
            reporter.finished(model.directory / model.files[0])
        else:
            await _pull_one(services, reference, reporter)
    return OK


async def _pull_one(services: Services, reference: ModelReference, reporter: Reporter) -> None:
    assert reference.repository is not None
    cached = await services.library.cached_labels(reference.repository)
    wanted = await find_wanted(services.catalog, reference, cached=cached)
    reporter.name = wanted.reference.pretty
    events = hub_pull(wanted.request, hub=services.hub, options=services.pull_options, rate=services.rate)
    try:
        async with aclosing(events):
            async for event in events:
                reporter.event(event)
    except asyncio.CancelledError:
        reporter.paused(reference)
        raise
    finally:
        reporter.status.clear()


class Reporter:
    """Tells of one pull: a line that changes on a terminal, now and then a plain one elsewhere."""

    def __init__(self, name: str, *, quiet: bool, json_lines: bool) -> None:
        self.name = name
        self.status = Transient(on=not quiet and not json_lines)
        self._quiet = quiet
        self._json = json_lines
        self._told_at = 0.0
        self._stage = ""

    def event(self, event: PullEvent) -> None:
        """Tell of this event."""
        if self._json:
            print(
                json.dumps({"type": type(event).__name__, "model": self.name, **_as_dict(event)}), flush=True
            )
            return
        match event:
            case PullProgressed():
                self._progress(event)
            case PullNoted(text=text):
                self._say(text)
            case PullFinished(files=files):
                self.finished(files[0])

    def finished(self, path: Path) -> None:
        """Print where the model is."""
        self.status.clear()
        print(
            json.dumps({"type": "PullFinished", "model": self.name, "path": str(path)})
            if self._json
            else path
        )

    def paused(self, reference: ModelReference) -> None:
        """Say how to go on."""
        self.status.clear()
        self._say(f"Paused; what has come is kept. Go on: spnl-chat pull {reference.pretty}")

    def _progress(self, event: PullProgressed) -> None:
        parts = [f"{self.name}: {event.words}"]
        if event.total:
            parts.append(f"{event.done / event.total:4.0%} of {in_bytes(event.total)}")
        if event.bytes_per_s:
            parts.append(f"{in_bytes(event.bytes_per_s)}/s")
        if event.eta_s is not None:
            parts.append(f"{_duration(event.eta_s)} left")
        line = " · ".join(parts)
        self.status.show(line)
        now = time.monotonic()
        if not self.status.on and (event.stage != self._stage or now - self._told_at >= _PLAIN_LINE_S):
            self._stage, self._told_at = event.stage, now
            self._say(line)

    def _say(self, line: str) -> None:
        if not self._quiet and not self._json:
            print(plain(line), file=sys.stderr, flush=True)


def _as_dict(event: PullEvent) -> dict[str, object]:
    fields = dataclasses.asdict(event)
    return {
        name: [str(item) for item in value]
        if isinstance(value, tuple)
        else str(value)
        if isinstance(value, Path)
        else value
        for name, value in fields.items()
    }


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    )


async def _fetch_starter(services: Services, status: Transient) -> LocalModel:
    async with aclosing(services.starter.fetch()) as events:
        try:
            async for event in events:
                if isinstance(event, StarterReady):
                    return event.model
                share = f" {event.done / 1e6:.0f} of {event.total / 1e6:.0f} MB" if event.total else ""
                status.show(f"{STARTER}: {event.stage}{share} {event.source and f'({event.source})'}")
        finally:
            status.clear()
    raise AssertionError("a fetch ends in StarterReady or raises")
