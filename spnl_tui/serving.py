"""Constructs the server for other programs from the services, for `spnl-chat serve` and for the interface."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from spnl_tui.errors import SettingsError

if TYPE_CHECKING:
    from spnl_tui.engine.backend import ModelHandle
    from spnl_tui.models.parts import ImagePart
    from spnl_tui.server.options import ServerOptions
    from spnl_tui.server.serving import HttpServer
    from spnl_tui.services import Services
    from spnl_tui.settings import Settings


class ServerSwitch:
    """Starts and stops the server of a program that also does something else."""

    def __init__(self, make: Callable[[Mapping[str, ModelHandle]], HttpServer]) -> None:
        """`make` constructs a server of these models, by their names."""
        self._make = make
        self._server: HttpServer | None = None

    @property
    def url(self) -> str:
        """The base address for clients; empty while it does not run."""
        return "" if self._server is None else self._server.url

    async def start(self, model: ModelHandle) -> None:
        """Start it, if it does not run. The model answers requests that name none.

        Raises:
            SpnlError: it needs a key, or the address cannot be used.
        """
        if self._server is None:
            server = self._make({model.name: model})
            await server.start()
            self._server = server

    async def stop(self) -> None:
        """Stop it, if it runs."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()


def server_options(settings: Settings, environ: Mapping[str, str]) -> ServerOptions:
    """Return the options of a server for these settings. The key comes from the environment.

    Raises:
        SettingsError: a key is necessary, or the variable that should hold it is not set.
    """
    from spnl_tui.server.options import ServerOptions

    server = settings.server
    key = None
    if server.api_key_env is not None and not (key := environ.get(server.api_key_env, "").strip()):
        raise SettingsError(
            "The key of the server is missing",
            f"The environment variable {server.api_key_env} is not set.",
            f"Set it: export {server.api_key_env}=…",
        )
    return ServerOptions(
        host=server.host,
        port=server.port,
        key=key,
        allowed_origins=server.allowed_origins,
        max_requests=server.max_requests,
    )


def make_server(services: Services, models: Mapping[str, ModelHandle], *, only: bool = False) -> HttpServer:
    """Return a server of these models, by the names that clients may use; without `only` also of the library.

    The first model answers requests that name none.

    Raises:
        SettingsError: as `server_options`.
    """
    from spnl_tui.server.application import Api
    from spnl_tui.server.models import ServedModels
    from spnl_tui.server.serving import HttpServer

    options = server_options(services.settings, os.environ)

    async def names() -> Sequence[str]:
        entries = (await services.library.listing()).entries
        return tuple(str(entry.reference) for entry in entries)

    def keep_image(data: bytes, media_type: str) -> ImagePart:
        return services.media.images.add(data, f"image.{media_type.rpartition('/')[2]}")

    served = ServedModels(models) if only else ServedModels(models, services.engine.find, names)
    api = Api(services.engine, served, options, sampling=services.settings.sampling, keep_image=keep_image)
    return HttpServer(api, options)
