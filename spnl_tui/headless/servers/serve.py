"""`spnl-chat serve`: OpenAI's API for other programs, until it is interrupted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from spnl_tui.engine.backend import ModelHandle
from spnl_tui.errors import ModelMissingError
from spnl_tui.headless.chosen_model import model_for
from spnl_tui.services import Services
from spnl_tui.serving import make_server


async def serve(services: Services, names: Sequence[str]) -> int:
    """Serve the named models; without names the default one, and all models of the library.

    Raises:
        SpnlError: a model is missing, or the address cannot be used.
    """
    chosen: dict[str, ModelHandle] = {}
    for name in names:
        if (model := await services.find_model(name)) is None:
            raise ModelMissingError(name)
        chosen[name] = model
    if not names:
        model = await model_for(services)
        chosen[model.name] = model
    server = make_server(services, chosen, only=bool(names))
    await server.start()
    try:
        first = next(iter(chosen.values()))
        print(f"Serving {first.name} at {server.url}", flush=True)
        print("Press Ctrl+C to stop.", file=sys.stderr, flush=True)
        await asyncio.get_running_loop().create_future()
    finally:
        await server.stop()
    return 0
