"""The endpoint backend: finds the models that references name, and sends requests to their servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from spnl_tui.engine.admission import refusal_of
from spnl_tui.engine.backend import (
    ChatRequest,
    Event,
    LoadedModel,
    LoadProgressed,
    ModelHandle,
    ModelLoaded,
    Request,
    RequestFailed,
    failure_of,
    refused,
)
from spnl_tui.engine.endpoint import BACKEND
from spnl_tui.engine.endpoint.endpoints import CAPABILITIES, Endpoint
from spnl_tui.engine.endpoint.references import EndpointReference, ambiguous, read_reference
from spnl_tui.errors import SpnlError

if TYPE_CHECKING:
    from spnl_tui.engine.endpoint.messages import ReadImage
    from spnl_tui.engine.endpoint.server import Server, UsedModel
    from spnl_tui.engine.endpoint.survey import EndpointStatus
    from spnl_tui.engine.prefetch import Prefetch

IsHere = Callable[[str], Awaitable[bool]]
"""Returns True if a repository, ORG/NAME, is on this machine."""
_SHARES_PREFILL = ("openai", "vllm")
"""Servers that compute several candidates for one request; the others get one request for each candidate."""


async def _nothing_is_here(repository: str) -> bool:
    return False


class EndpointBackend:
    """Answers with the models of all endpoints."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        *,
        environ: Mapping[str, str],
        read_image: ReadImage,
        is_here: IsHere = _nothing_is_here,
        context: int | None = None,
    ) -> None:
        """`endpoints` maps lower-case names to endpoints. `context` is the user's limit of the context, in
        tokens."""
        self.endpoints = dict(endpoints)
        self._environ = environ
        self._read_image = read_image
        self._is_here = is_here
        self._context = context
        self._servers: dict[str, Server] = {}
        self._closed = False

    @property
    def id(self) -> str:
        """The name that handles of this backend carry."""
        return BACKEND

    @property
    def needs_every_core(self) -> bool:
        """False: other programs compute the replies."""
        return False

    async def find(self, reference: str) -> ModelHandle | None:
        """Return the server's model that the reference names; None if it names none.

        Ask the server only if the reference could also mean a repository.

        Raises:
            ModelReferenceError: the reference is not valid, or names both a model and a repository.
        """
        found = read_reference(reference, self.endpoints)
        if found is None:
            return None
        if not found.explicit:
            here = await self._is_here(f"{found.endpoint.name}/{found.model}")
            if not found.certain and not await self._has(found):
                return None
            if here:
                raise ambiguous(found, "a repository on this machine")
            if not found.certain and "oss" in found.model.lower():
                raise ambiguous(found, "a repository on Hugging Face")
        return self.handle(found.endpoint, found.model, found.name)

    def handle(self, endpoint: Endpoint, model: str, name: str = "") -> ModelHandle:
        """Return the handle of a model on this endpoint."""
        return ModelHandle(
            name=name or f"{endpoint.name}/{model}",
            backend=BACKEND,
            key=(endpoint.name.lower(), model),
            capabilities=CAPABILITIES[endpoint.server],
            host=None if endpoint.is_local else endpoint.host,
            wanted_context=self._context,
        )

    async def _has(self, reference: EndpointReference) -> bool:
        try:
            async with asyncio.timeout(3):
                listing = await self.server(reference.endpoint.name).listing()
        except (SpnlError, TimeoutError):
            return False
        return listing.find(reference.model) is not None

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer the request; see `Backend`. Candidates are computed in parallel."""
        async with aclosing(self.load(model)) as loading:
            async for event in loading:
                if isinstance(event, RequestFailed):
                    for candidate in range(request.n):
                        yield replace(event, candidate=candidate)
                    return
                yield event
        server, used = self._used(model)
        if used is None:
            return
        if (refusal := refusal_of(_able(model, used), request)) is not None:
            async for event in refused(failure_of(refusal, kind="request"), request.n):
                yield event
            return
        shared = isinstance(request, ChatRequest) and used.served.server in _SHARES_PREFILL
        groups = (
            [range(request.n)] if shared or request.n == 1 else [range(i, i + 1) for i in range(request.n)]
        )
        replies = [server.replies(used, request, group) for group in groups]
        async with aclosing(replies[0] if len(replies) == 1 else _merged(replies)) as events:
            async for event in events:
                yield event

    async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        """Ask the server about the model, unless it is known; see `Backend`."""
        server, used = self._used(model)
        if used is not None:
            return
        began = time.monotonic()
        yield LoadProgressed(stage=f"asking {server.endpoint.host}")
        try:
            used = await server.learn(model, model.key[1])
        except SpnlError as error:
            yield failure_of(error, getattr(error, "kind", "load"))
            return
        yield ModelLoaded(seconds=time.monotonic() - began, context_length=self._context_of(used))

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        """Do nothing: servers have their own caches, and prompts leave this machine only when the user sends
        them."""
        prefetch.ended.set()

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the server's token counts, or estimates if it does not count; None before the model is
        used."""
        _, used = self._used(model)
        return None if used is None else await used.counter.count(texts)

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models in use, most recently used first."""
        from spnl_tui.engine.endpoint.server import details_of

        pairs = [(server, used) for server in self._servers.values() for used in server.used.values()]
        return tuple(
            LoadedModel(
                model=used.handle,
                state="busy" if used.running else "idle",
                context_length=self._context_of(used),
                estimates_tokens=used.counter.estimates,
                idle_s=None if used.running else time.monotonic() - used.last_used,
                load_details=details_of(server.endpoint, used),
            )
            for server, used in sorted(pairs, key=lambda pair: -pair[1].last_used)
        )

    def idle_unloaded(self, model: ModelHandle) -> bool:
        """Return False: servers unload by themselves."""
        return False

    async def unload(self, model: ModelHandle) -> None:
        """Forget the facts about the model."""
        server, _ = self._used(model)
        server.used.pop(model.key[1], None)

    async def close(self) -> None:
        """Close all connections."""
        self._closed = True
        await asyncio.gather(*(server.close() for server in self._servers.values()))

    async def survey(self, name: str, patience_s: float = 10.0) -> EndpointStatus:
        """Return the endpoint's models, or why it does not respond."""
        from spnl_tui.engine.endpoint.survey import survey

        return await survey(self.server(name), patience_s)

    def server(self, name: str) -> Server:
        """Return the server of an endpoint."""
        from spnl_tui.engine.endpoint.server import Server

        name = name.lower()
        if name not in self._servers:
            self._servers[name] = Server(self.endpoints[name], self._environ, self._read_image)
        return self._servers[name]

    def _used(self, model: ModelHandle) -> tuple[Server, UsedModel | None]:
        server = self.server(model.key[0])
        return server, server.used.get(model.key[1])

    def _context_of(self, used: UsedModel) -> int | None:
        known = [each for each in (used.served.context_length, self._context) if each is not None]
        return min(known, default=None)


def _able(model: ModelHandle, used: UsedModel) -> ModelHandle:
    """Return the handle with the capabilities that its server turned out to have."""
    can = CAPABILITIES[used.served.server]
    if (abilities := used.served.abilities) is not None:
        can = replace(
            can, vision=can.vision and "vision" in abilities, tools=can.tools and "tools" in abilities
        )
    return replace(model, capabilities=can)


async def _merged(replies: Sequence[AsyncGenerator[Event, None]]) -> AsyncGenerator[Event, None]:
    """Yield the events of all replies as they arrive. Closing this generator closes all of them."""
    events: asyncio.Queue[Event | BaseException | None] = asyncio.Queue()

    async def follow(reply: AsyncGenerator[Event, None]) -> None:
        try:
            async with aclosing(reply):
                async for event in reply:
                    events.put_nowait(event)
        except Exception as error:
            events.put_nowait(error)
        else:
            events.put_nowait(None)

    tasks = [asyncio.create_task(follow(reply)) for reply in replies]
    try:
        running = len(tasks)
        while running:
            event = await events.get()
            if isinstance(event, BaseException):
                raise event
            if event is None:
                running -= 1
            else:
                yield event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
