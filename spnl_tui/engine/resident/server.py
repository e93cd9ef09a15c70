"""The resident engine: serves clients on its socket, and ends when none has used it for a while."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from spnl_tui.engine.backend import Backend
from spnl_tui.engine.resident import wire
from spnl_tui.engine.resident.address import ResidentAddress, is_own_peer
from spnl_tui.engine.resident.connection import Connection
from spnl_tui.engine.resident.turns import Turns
from spnl_tui.errors import SpnlError, cause_of

_log = logging.getLogger(__name__)
_TICK_S = 0.5
_ON_EVERY_CORE = 2
"""Requests admitted at once if each takes all cores: one runs, and the next is ready."""


class AlreadyRunning(SpnlError):
    """Another resident engine runs for this user."""


class Resident:
    """One resident engine. Run it only once."""

    def __init__(
        self,
        engine: Backend,
        address: ResidentAddress,
        *,
        keep_warm_s: float,
        max_concurrent: int,
    ) -> None:
        """`keep_warm_s` is how long it runs without clients. `max_concurrent` limits the requests on a
        GPU."""
        self._engine = engine
        self._address = address
        self._keep_warm_s = keep_warm_s
        self._turns = Turns(lambda: _ON_EVERY_CORE if engine.needs_every_core else max_concurrent)
        self._connections: set[Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._began = time.monotonic()
        self._needed = time.monotonic()
        """The monotonic time when a client was last connected."""

    def stop(self) -> None:
        """Stop as soon as possible."""
        self._stopping.set()

    async def run(self) -> None:
        """Serve clients until `stop`, or until none was connected for `keep_warm_s`. The caller closes the
        engine.

        Raises:
            AlreadyRunning: another resident engine runs.
            SpnlError: the socket cannot be created.
        """
        with ExitStack() as stack:
            listening = stack.enter_context(_listening(self._address))
            server = await asyncio.start_unix_server(self._accept, sock=listening, limit=wire.LONGEST_LINE)
            _log.info("resident engine %d listens on %s", os.getpid(), self._address.socket)
            try:
                while not self._stopping.is_set() and not self._is_idle():
                    await self._tick()
            finally:
                server.close()
                for connection in tuple(self._connections):
                    connection.drop()
                if self._serving:
                    await asyncio.wait(self._serving, timeout=1)
        _log.info("resident engine %d ends", os.getpid())

    async def _tick(self) -> None:
        for connection in tuple(self._connections):
            try:
                await connection.push_state()
            except ConnectionError:
                continue  # this connection closes by itself
        try:
            async with asyncio.timeout(_TICK_S):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _is_idle(self) -> bool:
        if self._clients():
            self._needed = time.monotonic()
        return time.monotonic() - self._needed > self._keep_warm_s

    def _clients(self) -> tuple[wire.Client, ...]:
        clients = (connection.client for connection in tuple(self._connections))
        return tuple(client for client in clients if client is not None)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not is_own_peer(writer.get_extra_info("socket")):
            _log.warning("a process of another user was refused")
            writer.transport.abort()
            return
        connection = Connection(
            reader,
            writer,
            engine=self._engine,
            turns=self._turns,
            identity=self._address.identity,
            pid=os.getpid(),
            report=self._report,
            stop=self.stop,
            state=self._state,
        )
        self._connections.add(connection)
        serving = asyncio.create_task(connection.serve())
        self._serving.add(serving)
        try:
            await asyncio.wait((serving,))
        finally:
            self._serving.discard(serving)
            self._connections.discard(connection)
            self._needed = time.monotonic()
        if not serving.cancelled() and (error := serving.exception()) is not None:
            _log.error("a connection failed: %r", error, exc_info=error)

    def _state(self) -> wire.State:
        used = {model for connection in self._connections for model in connection.models}
        # Use whole seconds, so that an idle model does not change the state all the time.
        loaded = tuple(
            replace(each, idle_s=None if each.idle_s is None else float(int(each.idle_s)))
            for each in self._engine.loaded()
        )
        return wire.State(
            loaded=loaded,
            idle_unloaded=tuple(model for model in used if self._engine.idle_unloaded(model)),
            needs_every_core=self._engine.needs_every_core,
        )

    def _report(self) -> wire.Status:
        return wire.Status(
            pid=os.getpid(),
            identity=self._address.identity,
            uptime_s=time.monotonic() - self._began,
            keep_warm_s=self._keep_warm_s,
            loaded=self._engine.loaded(),
            clients=self._clients(),
        )


@contextmanager
def _listening(address: ResidentAddress) -> Iterator[socket.socket]:
    """Hold the lock and the listening socket of a resident engine."""
    address.make_directory()
    with open(address.lock, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                "A resident engine is already running", "", "See its status: spnl-chat engine status"
            ) from error
        # A killed engine leaves its socket. Holding the lock proves that no engine uses it.
        address.socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            mask = os.umask(0o177)
            try:
                listening.bind(str(address.socket))
            except OSError as error:
                raise SpnlError(
                    "The resident engine cannot listen", f"{address.socket}: {cause_of(error)}.", ""
                ) from error
            finally:
                os.umask(mask)
            listening.listen(64)
            try:
                yield listening
            finally:
                address.socket.unlink(missing_ok=True)
