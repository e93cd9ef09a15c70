"""The web application: its paths, and what each of them does."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from spnl_tui.engine.backend import Backend, ModelHandle, RequestFailed
from spnl_tui.models.request import Sampling
from spnl_tui.server.answer import Admission, Answer, Work, read_object
from spnl_tui.server.errors import ApiError, api_error
from spnl_tui.server.fields import take, texts
from spnl_tui.server.formats import ChatFormat, CompletionFormat
from spnl_tui.server.guard import Guard
from spnl_tui.server.metrics import CONTENT_TYPE, Metrics
from spnl_tui.server.openapi import document
from spnl_tui.server.requests import chat_request, completion_request, reply_options

if TYPE_CHECKING:
    from spnl_tui.server.messages import KeepImage
    from spnl_tui.server.models import ServedModels
    from spnl_tui.server.options import ServerOptions


class Api:
    """The endpoints."""

    def __init__(
        self,
        engine: Backend,
        models: ServedModels,
        options: ServerOptions,
        *,
        sampling: Sampling,
        keep_image: KeepImage | None = None,
    ) -> None:
        """`sampling` are the defaults of requests. Without `keep_image`, images are refused."""
        self._engine = engine
        self._models = models
        self._options = options
        self._sampling = sampling
        self._keep_image = keep_image
        self._metrics = Metrics()
        self._admission = Admission(options.max_requests)
        self._began = int(time.time())

    @property
    def running(self) -> int:
        """The requests that run or wait now."""
        return self._admission.running

    async def close(self) -> None:
        """Refuse requests from now on, and end those that run."""
        self._admission.closing.set()
        while self._admission.running:  # noqa: ASYNC110  # each ends within one step of the loop
            await asyncio.sleep(0.01)

    def application(self) -> ASGIApp:
        """Return the application, with all its checks."""
        work = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._complete,
            "/v1/embeddings": self._embed,
            "/tokenize": self._tokenize,
        }
        read = {
            "/v1/models": self._list,
            "/v1/models/{name:path}": self._show,
            "/health": self._health,
            "/metrics": self._show_metrics,
            "/openapi.json": self._describe,
        }
        app: ASGIApp = Starlette(
            routes=[
                *(
                    Route(path, Work(handle, self._admission, self._metrics), methods=["POST"])
                    for path, handle in work.items()
                ),
                *(Route(path, handle) for path, handle in read.items()),
            ],
            exception_handlers={ApiError: _refused, HTTPException: _unknown, Exception: _broken},
        )
        if self._options.allowed_origins:
            app = CORSMiddleware(
                app,
                allow_origins=self._options.allowed_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type"],
            )
        return Guard(app, self._options, self._metrics, (*work, *read))

    async def _chat(self, request: Request) -> Response:
        body = await read_object(request, self._options)
        model = await self._models.find(take(body, "model", str))
        # In a thread, because storing images takes time.
        asked = await asyncio.to_thread(chat_request, body, self._sampling, self._keep_image)
        return Answer(
            self._engine,
            model,
            asked,
            format=ChatFormat(model.name),
            options=reply_options(body),
            metrics=self._metrics,
            keep_alive_s=self._options.keep_alive_s,
        )

    async def _complete(self, request: Request) -> Response:
        body = await read_object(request, self._options)
        model = await self._models.find(take(body, "model", str))
        asked = completion_request(body, self._sampling)
        options = reply_options(body, tuple(asked.inputs))
        return Answer(
            self._engine,
            model,
            asked,
            format=CompletionFormat(model.name, options.prefixes),
            options=options,
            metrics=self._metrics,
            keep_alive_s=self._options.keep_alive_s,
        )

    async def _embed(self, request: Request) -> Response:
        raise ApiError(
            404,
            "No model that is served here computes embeddings: the engine runs models that write text.",
            param="model",
            code="model_not_found",
        )

    async def _tokenize(self, request: Request) -> Response:
        body = await read_object(request, self._options)
        model = await self._models.find(take(body, "model", str))
        prompts = texts(body, "prompt") or texts(body, "content")
        if len(prompts) != 1:
            raise ApiError(400, "prompt must be one string.", param="prompt")
        counts = await self._counts(model, prompts)
        return JSONResponse({"count": counts[0], "max_model_len": self._context_length(model)})

    async def _counts(self, model: ModelHandle, prompts: tuple[str, ...]) -> tuple[int, ...]:
        if not model.capabilities.counts_tokens:
            raise ApiError(400, f"{model.name} does not count tokens.", param="model")
        if (counts := await self._engine.count_tokens(model, prompts)) is None:
            async with aclosing(self._engine.load(model)) as events:
                async for event in events:
                    if isinstance(event, RequestFailed):
                        raise api_error(event)
            counts = await self._engine.count_tokens(model, prompts)
        if counts is None:
            raise ApiError(503, f"{model.name} was unloaded.")
        return counts

    def _context_length(self, model: ModelHandle) -> int | None:
        known = (each.context_length for each in self._engine.loaded() if each.model == model)
        return next(known, None) or model.context_length

    async def _list(self, request: Request) -> Response:
        names = await self._models.names()
        return JSONResponse({"object": "list", "data": [self._entry(name) for name in names]})

    async def _show(self, request: Request) -> Response:
        model = await self._models.find(request.path_params["name"])
        return JSONResponse(self._entry(model.name) | {"max_model_len": self._context_length(model)})

    def _entry(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._began, "owned_by": "spnl-chat"}

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _show_metrics(self, request: Request) -> Response:
        text = self._metrics.as_text(self._admission.running, len(self._engine.loaded()))
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def _describe(self, request: Request) -> Response:
        return JSONResponse(document())


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        reason = f"{request.method} does not apply to {request.url.path}."
    else:
        reason = f"{request.url.path} does not exist. /openapi.json lists the paths."
    return ApiError(error.status_code, reason, headers=error.headers).response()


async def _broken(request: Request, error: Exception) -> Response:
    return ApiError(500, "The server failed. Its log has the details.").response()
