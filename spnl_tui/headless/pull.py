"""`spnl-chat pull`; also finds the models that other commands need."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from contextlib import aclosing

from spnl_tui.errors import HubError, SpnlError
from spnl_tui.headless.output import FAILED, OK
from spnl_tui.headless.pull_report import PullReport
from spnl_tui.hub.pulls.pull import PullFinished, PullNoted
from spnl_tui.hub.pulls.pull import pull as hub_pull
from spnl_tui.hub.starter import StarterReady
from spnl_tui.hub.wanted import find_wanted, pulled_model
from spnl_tui.models.reference import ModelReference
from spnl_tui.services import Services


async def pull(services: Services, names: Sequence[str], *, quiet: bool, json_lines: bool) -> int:
    """Pull the models one after the other and print where each one is; PullReport does the rest.

    A failed pull is reported and does not stop the others; the exit code is then 1.
    """
    references = [ModelReference.parse(name) for name in names]
    for name, reference in zip(names, references, strict=True):
        if reference.path is not None:
            raise HubError(
                "Nothing to pull", f"{name} is a path on this machine.", "Use it as it is: -m PATH"
            )
        if reference.ollama is not None:
            raise HubError(
                "Nothing to pull",
                f"{name} means a model that Ollama has pulled.",
                f"Pull it there: ollama pull {shlex.quote(reference.ollama)}",
            )
    code = OK
    unfinished = list(names)
    for name, reference in zip(names, references, strict=True):
        report = PullReport(reference.pretty, quiet=quiet, json_lines=json_lines)
        try:
            if reference.is_starter:
                await _pull_starter(services, report)
            else:
                await _pull_one(services, reference, report)
            unfinished.remove(name)
        except SpnlError as error:
            report.failed(error)
            code = FAILED
        except asyncio.CancelledError:
            report.paused(shlex.join(["spnl-chat", "pull", *unfinished]))
            raise
    return code


async def _pull_one(services: Services, reference: ModelReference, report: PullReport) -> None:
    assert reference.repository is not None
    try:
        wanted = await find_wanted(
            services.catalog, reference, await services.conditions(), library=services.library
        )
    except HubError as error:
        # Models on this machine need no hub, which may be down or forbidden.
        if (model := await services.library.resolve(reference)) is None:
            raise
        report.event(PullNoted(text=f"it is on this machine; the hub was not asked again ({error.title})"))
        report.finished(model)
        return
    report.name = wanted.reference.pretty
    if wanted.doubt:
        report.event(PullNoted(text=f"this machine cannot use it: {wanted.doubt}"))
    events = hub_pull(wanted.request, hub=services.hub, options=services.pull_options, rate=services.rate)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, PullFinished):
                report.finished(pulled_model(wanted.request, event), event)
            else:
                report.event(event)


async def _pull_starter(services: Services, report: PullReport) -> None:
    async with aclosing(services.starter.fetch()) as events:
        async for event in events:
            if isinstance(event, StarterReady):
                report.finished(event.model)
            else:
                report.starter(event)
