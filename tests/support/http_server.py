"""The server for other programs, on a free port of this process, and raw connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from spnl_tui.engine.backend import Backend, Event, ModelHandle, ReplyChunk, ReplyFinished, Request
from spnl_tui.models.request import Sampling
from spnl_tui.server.application import Api
from spnl_tui.server.messages import KeepImage
from spnl_tui.server.models import ServedModels
from spnl_tui.server.options import ServerOptions
from spnl_tui.server.serving import HttpServer
from tests.support.bare_backend import BareBackend
from tests.support.echo_backend import EchoBackend


class ReplayBackend(BareBackend):
    """Answers every request with the same events, and records the requests."""

    id = "replay"

    def __init__(self, *events: Event) -> None:
        self._events = events
        self.requests: list[Any] = []

    @classmethod
    def saying(cls, text: str) -> ReplayBackend:
        """Return a backend that replies with this text."""
        return cls(ReplyChunk(text=text), ReplyFinished(finish_reason="stop"))

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        for event in self._events:
            yield event


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server, and a client of it."""

    url: str
    port: int
    api: Api
    client: httpx2.AsyncClient

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Send JSON and return the status and the JSON of the response."""
        response = await self.client.post(path, json=body, headers=headers)
        return response.status_code, response.json()

    async def raw(self, data: bytes) -> bytes:
        """Send these bytes on a connection of their own and return all that comes until it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def running_server(
    engine: Backend | None = None,
    model: ModelHandle | None = None,
    *,
    keep_image: KeepImage | None = None,
    **options: Any,
) -> AsyncIterator[RunningServer]:
    """Serve a model of the engine; by default the echo of the last message."""
    engine = engine or EchoBackend()
    model = model or await engine.find("echo")
    assert model is not None
    settings = ServerOptions(port=0, **options)
    api = Api(engine, ServedModels({"m": model}), settings, sampling=Sampling(), keep_image=keep_image)
    server = HttpServer(api, settings)
    await server.start()
    root = server.url.removesuffix("/v1")
    try:
        async with httpx2.AsyncClient(base_url=root, timeout=30) as client:
            yield RunningServer(server.url, int(root.rpartition(":")[2]), api, client)
    finally:
        await server.stop()
