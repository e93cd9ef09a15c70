"""The settings that a model brings along."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.models.modelfile import sampling_from
from spnl_tui.models.reference import OLLAMA
from spnl_tui.services import Services
from spnl_tui.settings import Settings


async def settings_for(services: Services, model: ModelHandle) -> Settings:
    """Return the settings for this model: what Ollama keeps with it applies unless the user set it."""
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
