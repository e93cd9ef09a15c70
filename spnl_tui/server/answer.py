"""Answers one HTTP request with the engine: whole or as a stream, until its client leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from spnl_tui.engine.backend import (
    Backend,
    Event,
    ModelHandle,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
)
from spnl_tui.engine.reply import Replies
from spnl_tui.server.errors import ApiError, api_error
from spnl_tui.server.formats import Format
from spnl_tui.server.metrics import Metrics
from spnl_tui.server.options import ServerOptions
from spnl_tui.server.requests import ReplyOptions

_log = logging.getLogger(__name__)
_RETRY_AFTER_S = 5
_STREAM_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_LARGE_BODY = 200_000
"""Bytes above which parsing would delay other clients, so a thread does it."""


class Admission:
    """Bounds the requests that run or wait at once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.running = 0
        self.closing = asyncio.Event()
        """Ends the requests that run."""

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            ApiError: all places are taken.
        """
        if self.closing.is_set():
            raise ApiError(503, "The server is stopping.")
        if self.running >= self._limit:
            raise ApiError(
                429,
                f"{self.running} requests run or wait already. Try again later.",
                code="queue_full",
                headers={"Retry-After": str(_RETRY_AFTER_S)},
            )
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


@dataclass(frozen=True, slots=True)
class Work:
    """An endpoint that uses the engine: admits a request, and ends it when its client leaves."""

    handle: Callable[[HttpRequest], Awaitable[Response]]
    """Reads the request and returns the response, which then runs until it is sent."""
    admission: Admission
    metrics: Metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        with self.admission.place():
            response = await self.handle(HttpRequest(scope, receive))
            answering = asyncio.create_task(self._run(response(scope, receive, send)))
            leaving = asyncio.create_task(_client_left(receive))
            closing = asyncio.create_task(self._closing())
            tasks = (answering, leaving, closing)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if leaving.done() and not answering.done():
                    self.metrics.disconnected += 1
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            if not answering.cancelled():
                answering.result()

    async def _closing(self) -> None:
        await self.admission.closing.wait()

    @staticmethod
    async def _run(response: Awaitable[None]) -> None:
        await response


async def _client_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def read_object(request: HttpRequest, options: ServerOptions) -> dict[str, Any]:
    """Return the JSON object in the body of a request.

    Raises:
        ApiError: it is too large or too slow, or is not a JSON object.
    """
    too_large = ApiError(
        413, f"The body has more than {options.max_body_bytes:,} bytes.", headers={"Connection": "close"}
    )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > options.max_body_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(options.body_timeout_s):
            async for piece in request.stream():
                body += piece
                if len(body) > options.max_body_bytes:
                    raise too_large
    except TimeoutError as error:
        raise ApiError(408, "The body came too slowly.", headers={"Connection": "close"}) from error
    try:
        value = await asyncio.to_thread(_parsed, body) if len(body) > _LARGE_BODY else _parsed(body)
    except UnicodeEncodeError as error:
        reason = "The body holds a lone surrogate, which is half of a character."
        raise ApiError(400, reason) from error
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "The body is not valid JSON.") from error
    if not isinstance(value, dict):
        raise ApiError(400, "The body must be a JSON object.")
    return value


def _parsed(body: bytearray) -> Any:
    """Parse JSON.

    Raises:
        UnicodeEncodeError: a text has a lone surrogate, which no engine can encode.
        ValueError: it is not JSON.
    """
    value = json.loads(body)
    if b"\\u" in body or b"\xed" in body:
        json.dumps(value, ensure_ascii=False).encode()
    return value


class Answer(Response):
    """The response to a chat or completion request."""

    def __init__(
        self,
        engine: Backend,
        model: ModelHandle,
        request: Request,
        *,
        format: Format,
        options: ReplyOptions,
        metrics: Metrics,
        keep_alive_s: float,
    ) -> None:
        """`keep_alive_s` is the time without news after which a stream sends a comment."""
        self._replies = Replies(engine, model, request)
        self._format = format
        self._options = options
        self._metrics = metrics
        self._keep_alive_s = keep_alive_s
        self._began = time.monotonic()
        self._has_begun: set[int] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request and send its replies."""
        async with aclosing(self._replies.events()) as events:
            if self._options.stream:
                await self._stream(events, scope, receive, send)
            else:
                response = await self._whole(events)
                await response(scope, receive, send)

    async def _whole(self, events: AsyncGenerator[Event, None]) -> Response:
        async for event in events:
            if isinstance(event, RequestFailed):
                return api_error(event).response()
            self._count(event)
        return JSONResponse(self._format.whole(tuple(self._replies)))

    async def _stream(
        self, events: AsyncGenerator[Event, None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send server-sent events. They begin with the first piece, so an earlier failure has its status."""
        started = False
        async for data in _with_pauses(self._lines(events), self._keep_alive_s):
            if not started:
                if isinstance(data, RequestFailed):
                    await api_error(data).response()(scope, receive, send)
                    return
                await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                started = True
            line = _line(api_error(data).body) if isinstance(data, RequestFailed) else data
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _lines(
        self, events: AsyncGenerator[Event, None]
    ) -> AsyncGenerator[bytes | RequestFailed, None]:
        async for event in events:
            self._count(event)
            match event:
                case RequestFailed():
                    yield event
                    return
                case ReplyChunk():
                    if beginning := self._beginning(event.candidate):
                        yield beginning
                    if (piece := self._format.piece(event)) is not None:
                        yield _line(piece)
                case ReplyFinished():
                    if beginning := self._beginning(event.candidate):
                        yield beginning
                    yield _line(self._format.end(event))
        if self._options.include_usage:
            yield _line(self._format.usage(tuple(self._replies)))
        yield b"data: [DONE]\n\n"

    def _beginning(self, candidate: int) -> bytes:
        if candidate in self._has_begun:
            return b""
        self._has_begun.add(candidate)
        chunk = self._format.beginning(candidate)
        return b"" if chunk is None else _line(chunk)

    def _count(self, event: Event) -> None:
        if isinstance(event, ReplyChunk) and self._began:
            self._metrics.count_ttft(time.monotonic() - self._began)
            self._began = 0.0
        elif isinstance(event, ReplyFinished):
            self._metrics.completion_tokens += event.usage.completion_tokens
            if event.candidate == 0:
                self._metrics.prompt_tokens += event.usage.prompt_tokens


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


async def _with_pauses(
    lines: AsyncGenerator[bytes | RequestFailed, None], pause_s: float
) -> AsyncGenerator[bytes | RequestFailed, None]:
    """Yield the lines, and a comment whenever none came for so long: proxies close silent connections."""
    async with aclosing(lines):
        while True:
            coming = asyncio.ensure_future(anext(lines, None))
            try:
                while not (await asyncio.wait((coming,), timeout=pause_s))[0]:
                    yield b": still working\n\n"
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait((coming,))
            if (line := coming.result()) is None:
                return
            yield line
