"""A backend that uses the resident engine if one runs, otherwise an engine in this process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

from spnl_tui.engine.backend import (
    FINAL,
    Backend,
    ChatRequest,
    Event,
    LoadedModel,
    LoadProgressed,
    ModelHandle,
    PrefillProgressed,
    Request,
    RequestFailed,
    failure_of,
)
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.engine.resident import wire
from spnl_tui.engine.resident.address import ResidentAddress
from spnl_tui.engine.resident.link import Link, LinkLost
from spnl_tui.errors import SpnlError

_log = logging.getLogger(__name__)
_LOST = RequestFailed(
    kind="internal",
    title="The resident engine stopped",
    message="Its log has the reason: spnl-chat engine logs.",
    hint="Send again. This program then loads the model itself.",
)
_OTHER = "the resident engine is not used: it has another version or other settings"


class ResidentBackend:
    """A `Backend` with the id of the mistral.rs backend, because both have the same models.

    Once the engine in this process has answered, it is used until the program ends.
    """

    def __init__(
        self,
        id: str,
        address: ResidentAddress,
        make_local: Callable[[], Backend],
        *,
        program: str,
        watch: bool = True,
        start: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`program` is this client's name in `spnl-chat ps`. `start` starts a resident engine if none runs;
        it may raise SpnlError. With `watch` False, `loaded` ignores the resident engine."""
        self._id = id
        self._address = address
        self._make_local = make_local
        self._program = program
        self._watch = watch
        self._start = start
        self._link: Link | None = None
        self._local: Backend | None = None
        self._connecting = asyncio.Lock()
        self._prefetches: set[asyncio.Task[None]] = set()
        self._notice = ""
        """A notice for the user, reported at the next request."""
        self._closed = False

    @property
    def id(self) -> str:
        """The name that handles of this backend carry."""
        return self._id

    @property
    def needs_every_core(self) -> bool:
        """True if a reply is being computed by threads on all cores; see `Backend`."""
        if (link := self._live) is not None:
            return link.state.needs_every_core
        return self._local is not None and self._local.needs_every_core

    async def find(self, reference: str) -> ModelHandle | None:
        """Return the model of this reference on this machine; see `Backend`."""
        reference = _with_absolute_path(reference)
        if (link := await self._connected()) is not None:
            try:
                async with aclosing(link.stream(lambda id: wire.Find(id=id, reference=reference))) as events:
                    async for event in events:
                        if isinstance(event, wire.Found):
                            return event.model
            except LinkLost:
                _log.warning("the resident engine ended while it looked up %s", reference)
        return await self._here().find(reference)

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer the request; see `Backend`."""
        link = await self._connected()
        if self._notice:
            yield LoadProgressed(stage=self._notice)
            self._notice = ""
        if link is None:
            async with aclosing(self._here().generate(model, request)) as local:
                async for event in local:
                    yield event
            return
        left = set(range(request.n))
        async with aclosing(self._ask(link, model, request)) as events:
            try:
                async for event in events:
                    if isinstance(event, FINAL):
                        left.discard(event.candidate)
                    yield event
                return
            except LinkLost:
                failure = _LOST
            except SpnlError as error:
                failure = failure_of(error, kind="internal")
        for candidate in sorted(left):
            yield replace(failure, candidate=candidate)

    async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        """Load the model ahead of any request; see `Backend`."""
        if (link := await self._connected()) is None:
            async with aclosing(self._here().load(model)) as local:
                async for event in local:
                    yield event
            return
        try:
            async with aclosing(link.stream(lambda id: wire.LoadModel(id=id, model=model))) as events:
                async for each in events:
                    yield _engine_event(each)
        except LinkLost:
            yield _LOST
        except SpnlError as error:
            yield failure_of(error)

    def prefetch(self, model: ModelHandle, prefetch: Prefetch) -> None:
        """Read messages before they are sent; see `Backend`."""
        if (link := self._live) is not None:
            task = asyncio.create_task(self._read_ahead(link, model, prefetch))
            self._prefetches.add(task)
            task.add_done_callback(self._prefetches.discard)
        elif self._local is not None:
            self._local.prefetch(model, prefetch)
        else:
            prefetch.ended.set()

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the token counts by the model's own tokenizer; None while the model is not loaded."""
        if (link := await self._connected()) is None:
            return await self._here().count_tokens(model, texts)
        command = wire.Tokenize(id=0, model=model, texts=tuple(texts))
        try:
            async with aclosing(link.stream(lambda id: _with_id(command, id))) as events:
                async for event in events:
                    if isinstance(event, wire.Tokenized):
                        return event.counts
        except LinkLost:
            _log.warning("the resident engine ended while it counted tokens")
        return None

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the models that are loaded or being loaded, for any client."""
        if (link := self._live) is not None:
            return link.loaded()
        return () if self._local is None else self._local.loaded()

    def idle_unloaded(self, model: ModelHandle) -> bool:
        """Return True if the model was unloaded only because it was not used for a while."""
        if (link := self._live) is not None:
            return model in link.state.idle_unloaded
        return self._local is not None and self._local.idle_unloaded(model)

    async def unload(self, model: ModelHandle) -> None:
        """Unload the model for all clients. A request on it ends in RequestFailed."""
        if (link := self._live) is not None:
            try:
                async with aclosing(link.stream(lambda id: wire.Unload(id=id, model=model))) as events:
                    async for _ in events:
                        continue
            except LinkLost:
                _log.warning("the resident engine ended, and %s with it", model.name)
        elif self._local is not None:
            await self._local.unload(model)

    async def close(self) -> None:
        """Disconnect from the resident engine, which keeps its models, and close the engine in this
        process."""
        self._closed = True
        for task in tuple(self._prefetches):
            task.cancel()
        if self._link is not None:
            await self._link.close()
        if self._local is not None:
            await self._local.close()

    @property
    def _live(self) -> Link | None:
        return None if self._link is None or self._link.ended else self._link

    def _here(self) -> Backend:
        if self._closed:
            raise SpnlError("The engine is closed")
        if self._local is None:
            self._local = self._make_local()
        return self._local

    async def _connected(self) -> Link | None:
        """Return the connection to the resident engine; None if the engine in this process answers."""
        if self._local is not None or self._closed:
            return None
        if (link := self._live) is not None:
            return link
        async with self._connecting:
            if self._live is None:
                self._link = await self._connect()
                if self._link is None and self._start is not None and not self._notice:
                    try:
                        await self._start()
                        self._link = await self._connect()
                    except SpnlError as error:
                        _log.warning("the resident engine could not be started: %s", error)
                        self._notice = "the resident engine could not be started"
            return self._live

    async def _connect(self) -> Link | None:
        link = await Link.open(self._address, self._program, watch=self._watch)
        if link is None:
            return None
        assert link.welcome is not None
        if link.welcome.identity != self._address.identity:
            _log.warning("%s: %s", _OTHER, link.welcome.identity)
            self._notice = _OTHER
            await link.close()
            return None
        return link

    async def _ask(self, link: Link, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        command = _command(model, request)
        request_id = 0
        dropped: set[int] = set()

        def note(id: int) -> None:
            nonlocal request_id
            request_id = id

        async with aclosing(link.stream(lambda id: _with_id(command, id), note)) as events:
            async for event in events:
                if isinstance(request, ChatRequest):
                    for candidate in range(request.n):
                        if candidate not in dropped and not request.is_wanted(candidate):
                            dropped.add(candidate)
                            _drop(link, request_id, candidate)
                yield _engine_event(event)

    async def _read_ahead(self, link: Link, model: ModelHandle, prefetch: Prefetch) -> None:
        command = wire.ReadAhead(
            id=0,
            model=model,
            messages=prefetch.messages,
            sampling=prefetch.sampling,
            tools=prefetch.tools,
        )
        request_id = 0

        def note(id: int) -> None:
            nonlocal request_id
            request_id = id

        async def cancel() -> None:
            await prefetch.stopped.wait()
            link.send(lambda id: wire.Cancel(id=id, target=request_id))

        cancelling = asyncio.create_task(cancel())
        try:
            async with aclosing(link.stream(lambda id: _with_id(command, id), note)) as events:
                async for event in events:
                    if isinstance(event, PrefillProgressed):
                        prefetch.on_progress(event.done, event.total)
        except (LinkLost, SpnlError) as error:
            _log.warning("the resident engine could not read ahead: %s", error)
        finally:
            cancelling.cancel()
            prefetch.ended.set()


def _command(model: ModelHandle, request: Request) -> wire.Chat | wire.Complete:
    if not isinstance(request, ChatRequest):
        return wire.Complete(
            id=0,
            model=model,
            inputs=tuple(request.inputs),
            sampling=request.sampling,
            grammar=request.grammar,
        )
    return wire.Chat(
        id=0,
        model=model,
        messages=tuple(request.messages),
        sampling=request.sampling,
        n=request.n,
        thinking=request.thinking,
        grammar=request.grammar,
        tools=request.tools,
        tool_choice=request.tool_choice,
        continue_reply=request.continue_reply,
        begun_thought=request.begun_thought,
        ephemeral=request.ephemeral,
    )


def _with_absolute_path(reference: str) -> str:
    """Return the reference with absolute paths, because the resident engine runs in another directory."""
    is_path = reference.startswith((".", "~", "/"))
    return os.path.abspath(os.path.expanduser(reference)) if is_path else reference


def _with_id(command: wire.Command, id: int) -> wire.Command:
    return replace(command, id=id)


def _drop(link: Link, target: int, candidate: int) -> None:
    link.send(lambda id: wire.Drop(id=id, target=target, candidate=candidate))


def _engine_event(event: wire.Event) -> Event:
    """Return a wire event as an event of a backend. The resident engine sends no others for a request."""
    assert isinstance(event, Event)
    return event
