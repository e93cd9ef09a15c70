"""The model that a command needs now, and the settings that it brings along.

It imports little: with a resident engine, imports are most of the time of a command.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from spnl_tui.errors import HubError
from spnl_tui.headless.output import Transient

if TYPE_CHECKING:
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.services import Services
    from spnl_tui.settings import Settings


async def model_for(services: Services) -> ModelHandle:
    """Return the model of the settings for a command that needs it now. Download the starter if necessary.

    Raises:
        SpnlError: the model is not on this machine or does not exist.
    """
    if (model := await services.wanted_model()) is not None:
        return model
    if services.settings.model.default is None:
        raise HubError(
            "There is no model on this machine yet",
            "No model was named, and the starter model is not here.",
            "Get one: spnl-chat pull starter",
        )
    from spnl_tui.hub.starter import STARTER, StarterReady

    status = Transient()
    try:
        async with aclosing(services.starter.fetch()) as events:
            async for event in events:
                if isinstance(event, StarterReady):
                    return services.to_handle(event.model)
                part = f" {event.done / 1e6:.0f} of {event.total / 1e6:.0f} MB" if event.total else ""
                status.show(f"{STARTER}: {event.stage}{part} {event.source and f'({event.source})'}")
    finally:
        status.clear()
    raise AssertionError("a fetch ends in StarterReady or raises")


async def settings_for(services: Services, model: ModelHandle) -> Settings:
    """Return the settings for this model: what Ollama keeps with it applies unless the user set it."""
    from spnl_tui.models.modelfile import sampling_from
    from spnl_tui.models.reference import OLLAMA

    settings = services.settings
    if not model.name.startswith(OLLAMA):
        return settings
    found = await asyncio.to_thread(services.other_programs.ollama_model, model.name.removeprefix(OLLAMA))
    if found is None:
        return settings
    chat = settings.chat
    if "chat.system_prompt" not in settings.origins and settings.persona is None:
        chat = replace(chat, system_prompt=found.system)
    own = [name.partition(".")[2] for name in settings.origins if name.startswith("sampling.")]
    return replace(settings, chat=chat, sampling=sampling_from(found.parameters, settings.sampling, own))
