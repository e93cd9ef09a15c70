"""Constructs the backend of servers from the settings."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from spnl_tui.engine.endpoint import BACKEND as ENDPOINT
from spnl_tui.errors import SpnlError

if TYPE_CHECKING:
    from spnl_tui.engine.endpoint.backend import EndpointBackend
    from spnl_tui.models.parts import ImagePart
    from spnl_tui.paths import Paths
    from spnl_tui.settings import Settings

__all__ = ["ENDPOINT", "make_endpoints"]


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
