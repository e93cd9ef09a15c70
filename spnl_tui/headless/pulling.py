"""`spnl-chat pull`, and the model that another command needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing

from spnl_tui.errors import HubError
from spnl_tui.headless.output import OK, Transient
from spnl_tui.hub.starter import STARTER, StarterReady
from spnl_tui.models.local import LocalModel
from spnl_tui.models.reference import ModelReference
from spnl_tui.services import Services


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
    """Pull each model and print its path, or its events as JSON lines."""
    for name in names:
        reference = ModelReference.parse(name)
        if not reference.is_starter:
            raise HubError("Only the starter model can be pulled yet", name, "spnl-chat pull starter")
        model = await _fetch_starter(services, Transient(on=not quiet))
        path = model.directory / model.files[0]
        print(json.dumps({"model": model.name, "path": str(path)}) if json_lines else path)
    return OK


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
