"""One server: its connections, its queue, and the facts about its models."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from spnl_tui.engine.backend import (
    ChatRequest,
    Event,
    ModelHandle,
    ReplyChunk,
    Request,
    RequestFailed,
    RequestQueued,
    Usage,
    failure_of,
)
from spnl_tui.engine.endpoint.bodies import LIMITS, chat_body, completion_body, ignored_parameters
from spnl_tui.engine.endpoint.candidates import Candidate, usage_of
from spnl_tui.engine.endpoint.connection import Connection
from spnl_tui.engine.endpoint.counting import TokenCounter
from spnl_tui.engine.endpoint.discovery import Listing, describe, list_models
from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.engine.endpoint.facts import ServedModel
from spnl_tui.engine.endpoint.faults import ATTEMPTS, EndpointError, cut_off, reported, with_nearest
from spnl_tui.engine.endpoint.messages import ReadImage
from spnl_tui.engine.endpoint.stream import END, pieces_of
from spnl_tui.engine.fair_queue import FairQueue
from spnl_tui.errors import SpnlError
from spnl_tui.models.request import MAX_TOKENS

_ONE_AT_A_TIME = ("llamacpp-python",)
"""Servers on which a new request ends the one before it (llama-cpp-python's `interrupt_requests`)."""
_NEAREST_S = 3.0
"""Seconds to wait for the names of other models, which a hint lists."""


class UsedModel:
    """A model on a server that this process has used."""

    def __init__(self, handle: ModelHandle, served: ServedModel, counter: TokenCounter) -> None:
        self.handle = handle
        self.served = served
        self.counter = counter
        self.running = 0
        """The number of requests under way."""
        self.last_used = time.monotonic()
        self.details: dict[str, Any] = {}
        """The details reported with the last reply."""


class Server:
    """Answers requests with the models of one endpoint."""

    def __init__(self, endpoint: Endpoint, environ: Mapping[str, str], read_image: ReadImage) -> None:
        self.endpoint = endpoint
        self.used: dict[str, UsedModel] = {}
        """The models by the server's names."""
        self.connection = Connection(endpoint, environ)
        self._queue = FairQueue(endpoint.max_concurrent)
        self._read_image = read_image
        self._waiting = 0
        self._asking = asyncio.Lock()

    async def listing(self) -> Listing:
        """Ask the server for its models.

        Raises:
            SpnlError: the server does not answer, or lists no models.
        """
        return await list_models(self.connection, self.endpoint)

    async def learn(self, handle: ModelHandle, model: str) -> UsedModel:
        """Return the model, asking the server about it on first use.

        Raises:
            SpnlError: the server does not answer, or does not have the model.
        """
        async with self._asking:
            if (used := self.used.get(model)) is None:
                served = await describe(self.connection, self.endpoint, model, handle.wanted_context)
                counter = TokenCounter(self.connection, self.endpoint, served)
                used = self.used[model] = UsedModel(handle, served, counter)
                if served.server in _ONE_AT_A_TIME:
                    self._queue = FairQueue(1)
            return used

    async def close(self) -> None:
        """Close all connections."""
        await self.connection.close()

    async def replies(self, used: UsedModel, request: Request, numbers: range) -> AsyncGenerator[Event, None]:
        """Yield the events of the candidates with these numbers, which share one request to the server.

        A failure before the first token is retried if that may help.
        """
        asked_at = time.monotonic()
        queue = self._queue
        place = queue.ask()
        self._waiting += 1
        used.running += 1
        try:
            if not place.done():
                yield RequestQueued(ahead=self._waiting - 1)
            await place
            admitted_at = time.monotonic()
            limited = request.sampling.max_tokens < (used.served.context_length or MAX_TOKENS)
            for attempt in range(ATTEMPTS):
                candidates = [
                    Candidate(number, admitted_at, queue_s=admitted_at - asked_at) for number in numbers
                ]
                try:
                    async with aclosing(self._attempt(used, request, candidates, limited=limited)) as events:
                        async for event in events:
                            yield event
                    return
                except SpnlError as error:
                    if limited and _asks_for_too_many(error):
                        # The prompt and the longest reply that the user allows exceed the context. Without a
                        # limit, the server ends the reply at the end of the context.
                        limited = False
                        continue
                    wait_s = error.wait_s(attempt) if isinstance(error, EndpointError) else None
                    if wait_s is None or any(each.begun for each in candidates):
                        for event in await self._failures(error, used, candidates):
                            yield event
                        return
                yield RequestQueued(ahead=0)
                await asyncio.sleep(wait_s)
        finally:
            used.running -= 1
            used.last_used = time.monotonic()
            self._waiting -= 1
            queue.leave(place)

    async def _attempt(
        self, used: UsedModel, request: Request, candidates: list[Candidate], *, limited: bool
    ) -> AsyncGenerator[Event, None]:
        is_wanted = request.is_wanted if isinstance(request, ChatRequest) else _always
        url, body = await asyncio.to_thread(self._request, used.served, request, candidates)
        if not limited:
            body = {name: value for name, value in body.items() if name not in LIMITS}
        usage: Usage | None = None
        complete = False
        stopped = {each.number for each in candidates if not is_wanted(each.number)}
        if len(stopped) < len(candidates):
            async with (
                self.connection.stream(url, body, used.served.id) as response,
                aclosing(pieces_of(response, self.endpoint)) as pieces,
            ):
                async for piece in pieces:
                    if piece is END:
                        complete = True
                        break
                    if piece.get("error"):
                        begun = any(each.begun for each in candidates)
                        raise reported(self.endpoint, piece["error"], begun=begun)
                    usage = usage_of(piece.get("usage")) or usage
                    used.details |= _details(piece)
                    for chunk in _chunks(piece, candidates, stopped):
                        yield chunk
                    stopped |= {each.number for each in candidates if not is_wanted(each.number)}
                    if len(stopped) == len(candidates):
                        break
        if (
            len(stopped) < len(candidates)
            and not complete
            and any(each.reason is None for each in candidates)
        ):
            raise cut_off(self.endpoint)
        if usage is not None and len(candidates) > 1:
            # the server reports only the sum over all candidates
            usage = Usage(prompt_tokens=usage.prompt_tokens)
        used.details["ignored"] = list(ignored_parameters(request.sampling, used.served.server))
        if usage is not None and isinstance(request, ChatRequest) and not used.served.has("vision"):
            used.counter.learn("\n".join(each.model_text for each in request.messages), usage.prompt_tokens)
        for each in candidates:
            if each.number in stopped:
                yield each.cancelled()
            else:
                for event in each.end(usage):
                    yield event

    def _request(
        self, served: ServedModel, request: Request, candidates: list[Candidate]
    ) -> tuple[str, dict[str, Any]]:
        """Return the URL and the body of the request. Blocks if it has images."""
        first, root, url = candidates[0].number, self.endpoint.root, self.endpoint.url
        at_ollama = served.server == "ollama"
        if isinstance(request, ChatRequest):
            body = chat_body(request, served, self._read_image, n=len(candidates), candidate=first)
            return (f"{root}/api/chat" if at_ollama else f"{url}/chat/completions"), body
        body = completion_body(request, served, first)
        return (f"{root}/api/generate" if at_ollama else f"{url}/completions"), body

    async def _failures(
        self, error: SpnlError, used: UsedModel, candidates: list[Candidate]
    ) -> list[RequestFailed]:
        kind = error.kind if isinstance(error, EndpointError) else "request"
        if isinstance(error, EndpointError):
            if error.status == 404:
                error = await self._with_nearest(error, used.served.id)
            if error.kind == "load":
                # the next request asks about the model again, because another server may answer then
                self.used.pop(used.served.id, None)
        failure = failure_of(error, kind)
        return [replace(failure, candidate=each.number) for each in candidates]

    async def _with_nearest(self, error: EndpointError, model: str) -> EndpointError:
        try:
            async with asyncio.timeout(_NEAREST_S):
                return with_nearest(error, model, (await self.listing()).names)
        except (SpnlError, TimeoutError):
            return error


def details_of(endpoint: Endpoint, used: UsedModel) -> str:
    """Return the server and model behind the replies as JSON, to store with each reply."""
    known = {
        "endpoint": endpoint.name,
        "host": endpoint.host,
        "server": used.served.server,
        "model": used.served.id,
        **used.details,
    }
    return json.dumps({name: value for name, value in known.items() if value}, ensure_ascii=False)


def _details(piece: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value
        for name in ("system_fingerprint", "model")
        if isinstance(value := piece.get(name), str) and len(value) <= 200
    }


def _chunks(piece: Mapping[str, Any], candidates: list[Candidate], stopped: set[int]) -> list[ReplyChunk]:
    choices = piece.get("choices")
    found: list[ReplyChunk] = []
    for choice in choices if isinstance(choices, list) else ():
        index = choice.get("index", 0) if isinstance(choice, dict) else None
        if not isinstance(index, int) or not 0 <= index < len(candidates):
            continue
        candidate = candidates[index]
        if candidate.number not in stopped and (chunk := candidate.take(choice)) is not None:
            found.append(chunk)
    return found


def _asks_for_too_many(error: SpnlError) -> bool:
    """True if the server may have refused the limit of the reply, not the prompt."""
    if not isinstance(error, EndpointError) or error.status not in (400, 422):
        return False
    return error.kind == "context" or any(name in error.message for name in LIMITS)


def _always(candidate: int) -> bool:
    return True
