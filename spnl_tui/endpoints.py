"""Constructs the backend of servers from the settings, and asks which servers respond."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from spnl_tui.engine.endpoint import BACKEND
from spnl_tui.errors import SettingsError, SpnlError
from spnl_tui.settings.nearest import did_you_mean

if TYPE_CHECKING:
    from spnl_tui.engine.endpoint.backend import EndpointBackend
    from spnl_tui.engine.endpoint.survey import EndpointStatus
    from spnl_tui.models.parts import ImagePart
    from spnl_tui.paths import Paths
    from spnl_tui.settings import Settings

ENDPOINT = BACKEND
"""The id of the backend, for those that may not import it."""


def make_endpoints(
    settings: Settings, paths: Paths, resolve: Callable[[str], Awaitable[object | None]] | None = None
) -> EndpointBackend:
    """Return the backend of servers. `resolve` finds the models on this disk."""
    from spnl_tui.engine.endpoint.backend import EndpointBackend
    from spnl_tui.engine.endpoint.endpoints import known_endpoints

    def read_image(image: ImagePart) -> bytes:
        from spnl_tui.media.image_store import ImageStore

        return ImageStore(paths.images).read(image)

    async def is_here(repository: str) -> bool:
        try:
            return resolve is not None and await resolve(f"local/{repository}") is not None
        except SpnlError:
            return False

    return EndpointBackend(
        known_endpoints(settings.endpoints, os.environ),
        environ=os.environ,
        read_image=read_image,
        is_here=is_here,
        context=settings.context.length,
    )


async def surveyed(
    settings: Settings,
    paths: Paths,
    names: Sequence[str] = (),
    *,
    patience_s: float = 10.0,
    commands: bool = True,
) -> AsyncGenerator[EndpointStatus, None]:
    """Yield each endpoint as soon as it is known whether it responds; those of these names, or all.

    A service whose key is missing is not asked. `commands`: False leaves out servers whose key a command
    prints, because it may ask for a password.

    Raises:
        SettingsError: there is no endpoint of this name.
    """
    backend = make_endpoints(settings, paths)
    known = backend.endpoints
    for name in names:
        if name.lower() not in known:
            raise SettingsError(
                "There is no such endpoint",
                f"No endpoint is called {name!r}. The endpoints are {', '.join(sorted(known))}.",
                did_you_mean(name, known) or f"Add it to config.toml: [endpoints.{name}]",
            )
    chosen = [name.lower() for name in names] or [
        name for name, each in known.items() if commands or each.api_key_command is None
    ]
    tasks = [asyncio.create_task(backend.survey(name, patience_s)) for name in chosen]
    try:
        for task in asyncio.as_completed(tasks):
            yield await task
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await backend.close()
