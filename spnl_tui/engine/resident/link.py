"""A client's connection to the resident engine."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace

from spnl_tui import errors
from spnl_tui.engine.backend import LoadedModel
from spnl_tui.engine.json_lines import ProtocolError, encode
from spnl_tui.engine.resident import wire
from spnl_tui.engine.resident.address import ResidentAddress, is_own_peer
from spnl_tui.errors import SpnlError

_log = logging.getLogger(__name__)
_ANSWER_S = 5.0
"""Seconds that the resident engine has to answer the first command."""
_NOTHING = wire.State(loaded=(), idle_unloaded=(), needs_every_core=False)


class LinkLost(Exception):
    """The resident engine, or the connection to it, has ended."""


class Link:
    """One connection to the resident engine. `ended` is set once it is closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._ids = itertools.count(1)
        self._subscribers: dict[int, asyncio.Queue[wire.Event | None]] = {}
        """Queues of events by command id. None in a queue says that the connection is lost."""
        self._state = _NOTHING
        self._state_at = time.monotonic()
        self.ended = False
        self.welcome: wire.Welcome | None = None
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, address: ResidentAddress, program: str, *, watch: bool) -> Link | None:
        """Connect and introduce this process; return None if no resident engine runs.

        If its identity differs (see `welcome`), it accepts only Report and Stop.
        """
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(
                    str(address.socket), limit=wire.LONGEST_LINE
                )
                if not is_own_peer(writer.get_extra_info("socket")):
                    _log.warning("%s belongs to another user", address.socket)
                    writer.transport.abort()
                    return None
        except (OSError, TimeoutError):
            return None
        link = cls(reader, writer)
        try:
            async with asyncio.timeout(_ANSWER_S):
                hello = link.stream(
                    lambda id: wire.Hello(
                        id=id, identity=address.identity, program=program, pid=os.getpid(), watch=watch
                    )
                )
                async for event in hello:
                    if isinstance(event, wire.Welcome):
                        link.welcome = event
        except (LinkLost, TimeoutError, SpnlError) as error:
            _log.warning("the resident engine does not answer: %s", error)
        if link.welcome is None:
            await link.close()
            return None
        return link

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Return the loaded models as last reported."""
        passed = time.monotonic() - self._state_at
        return tuple(
            each if each.idle_s is None else replace(each, idle_s=each.idle_s + passed)
            for each in self._state.loaded
        )

    @property
    def state(self) -> wire.State:
        """The state as last reported."""
        return self._state

    def send(self, make: Callable[[int], wire.Command]) -> int:
        """Send a command whose events are ignored, and return its id."""
        command_id = next(self._ids)
        if not self.ended:
            with contextlib.suppress(ConnectionError):
                self._writer.write(encode(make(command_id)))
        return command_id

    async def stream(
        self, make: Callable[[int], wire.Command], on_id: Callable[[int], None] = lambda id: None
    ) -> AsyncGenerator[wire.Event, None]:
        """Send a command and yield its events. `on_id` receives its id. Closing the iterator early cancels
        the command.

        Raises:
            LinkLost: the connection has ended.
            SpnlError: the command failed.
        """
        command_id = next(self._ids)
        queue: asyncio.Queue[wire.Event | None] = asyncio.Queue()
        self._subscribers[command_id] = queue
        on_id(command_id)
        complete = False
        try:
            if self.ended:
                raise LinkLost
            with contextlib.suppress(ConnectionError):  # `_read` notices a lost connection, too
                self._writer.write(encode(make(command_id)))
                await self._writer.drain()
            while not isinstance(event := await queue.get(), wire.Done):
                if event is None:
                    raise LinkLost
                if isinstance(event, wire.Failed):
                    complete = True
                    raise _error(event)
                yield event
            complete = True
        finally:
            del self._subscribers[command_id]
            if not complete:
                self.send(lambda id: wire.Cancel(id=id, target=command_id))

    async def close(self) -> None:
        """Close the connection. The resident engine then cancels this client's commands."""
        self.ended = True
        self._reading.cancel()
        await asyncio.wait((self._reading,))
        self._writer.transport.abort()

    async def _read(self) -> None:
        try:
            async for line in self._reader:
                command_id, event = wire.decode_event(line)
                if isinstance(event, wire.State):
                    self._state, self._state_at = event, time.monotonic()
                elif (queue := self._subscribers.get(command_id)) is not None:
                    queue.put_nowait(event)
        except (ProtocolError, ValueError, ConnectionError) as error:
            _log.error("the resident engine broke the protocol: %s", error)
        finally:
            self.ended = True
            self._state = _NOTHING
            for queue in self._subscribers.values():
                queue.put_nowait(None)
            self._writer.transport.abort()


def _error(failed: wire.Failed) -> SpnlError:
    cls = getattr(errors, failed.error, SpnlError)
    known = isinstance(cls, type) and issubclass(cls, SpnlError) and cls.__init__ is SpnlError.__init__
    error: SpnlError = (cls if known else SpnlError)(failed.title, failed.message, failed.hint)
    return error
