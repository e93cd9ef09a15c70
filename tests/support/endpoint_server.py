"""A server on a real socket that answers every request with the bytes of a script, faults included."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from spnl_tui.engine.backend import ChatRequest, Event, ModelHandle, Request
from spnl_tui.engine.endpoint.backend import EndpointBackend
from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.engine.service import EngineService
from spnl_tui.models.parts import ImagePart
from spnl_tui.models.request import Message, Sampling


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


Answer = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]
"""Writes the response to one request. The connection is closed afterwards."""


@dataclass
class ScriptedServer:
    """Answers with `answer`, and records what it was asked."""

    answer: Answer
    models: tuple[dict[str, Any], ...] = ({"id": "m", "owned_by": "test"},)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client has closed its connection before the response was complete."""

    @property
    def chats(self) -> list[Asked]:
        """The requests for replies."""
        return [each for each in self.asked if each.method == "POST"]

    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            begin = await reader.readexactly(1)
            if begin == b"\x16":
                return  # TLS, which no program expects here
            head = (begin + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            data = await reader.readexactly(int(headers.get("content-length", 0)))
            asked = Asked(method, path, headers, json.loads(data) if data else None)
            self.asked.append(asked)
            if method == "GET" and path.endswith("/models"):
                await send_json(writer, {"object": "list", "data": list(self.models)})
            else:
                await self.answer(asked, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        except asyncio.CancelledError:
            pass  # the end of the test; asyncio would report it as an error of the connection
        finally:
            self.tasks.discard(task)
            writer.close()


async def send_json(writer: asyncio.StreamWriter, value: Any, status: str = "200 OK", **headers: str) -> None:
    """Send a response of JSON."""
    await send(writer, json.dumps(value).encode(), status, **{"Content-Type": "application/json", **headers})


async def send(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", **headers: str) -> None:
    """Send a whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join((*lines, "", "")).encode("latin-1") + body)
    await writer.drain()


async def begin_stream(writer: asyncio.StreamWriter, kind: str = "text/event-stream") -> None:
    """Begin a response that ends when the connection does."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()


def piece(text: str = "", *, index: int = 0, reason: str | None = None, **delta: Any) -> bytes:
    """Return one event of a chat's stream."""
    choice = {"index": index, "delta": {"content": text, **delta}, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice], "system_fingerprint": "fp1"}).encode() + b"\n\n"


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"


def replying(*pieces: bytes, kind: str = "text/event-stream") -> Answer:
    """Answer with a stream of these bytes."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await begin_stream(writer, kind)
        for each in pieces:
            writer.write(each)
            await writer.drain()

    return answer


WELL = replying(piece("Hello"), piece(" there", reason="stop"), USAGE, DONE)


@asynccontextmanager
async def serving(
    answer: Answer, *, tls: ssl.SSLContext | None = None, **fields: Any
) -> AsyncIterator[ScriptedServer]:
    """Serve on a free port of this machine."""
    scripted = ScriptedServer(answer, **fields)
    server = await asyncio.start_server(scripted.handle, "127.0.0.1", 0, ssl=tls, limit=1 << 26)
    scripted.port = server.sockets[0].getsockname()[1]
    try:
        yield scripted
    finally:
        server.close()
        for task in tuple(scripted.tasks):
            task.cancel()
        await asyncio.gather(*scripted.tasks)


@asynccontextmanager
async def engine_of(
    *endpoints: Endpoint, environ: Mapping[str, str] | None = None, images: Mapping[str, bytes] | None = None
) -> AsyncIterator[EngineService]:
    """Give an engine service whose only backend is that of these endpoints."""

    def read_image(image: ImagePart) -> bytes:
        return (images or {})[image.sha256]

    backend = EndpointBackend(
        {each.name.lower(): each for each in endpoints}, environ=environ or {}, read_image=read_image
    )
    engine = EngineService([backend])
    try:
        yield engine
    finally:
        await engine.close()


def endpoint_at(port: int, **fields: Any) -> Endpoint:
    """Return the endpoint "box" at this port."""
    given = {"name": "box", "url": f"http://127.0.0.1:{port}/v1", "configured": True, "timeout_s": 20.0}
    return Endpoint(**{**given, **fields})


def asking(text: str = "Hi", **fields: Any) -> ChatRequest:
    """Return a request of one message."""
    return ChatRequest(messages=[Message("user", text)], sampling=Sampling(), **fields)


async def events_of(
    engine: EngineService, request: Request | None = None, name: str = "box/m"
) -> list[Event]:
    """Return all events of a request."""
    model = await engine.find(name)
    assert isinstance(model, ModelHandle)
    return [event async for event in engine.generate(model, request or asking())]
