"""HTTP connections with time limits that uvicorn lacks: for the head of a request, and for slow readers."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from spnl_tui.server.options import ServerOptions


class BoundedConnection(H11Protocol):
    """Closes a connection whose request does not arrive, or whose reply is not read."""

    options: ClassVar[ServerOptions]
    _head_timer: asyncio.TimerHandle | None = None
    _read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the time limit for the first request."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Start the time limit for a request with its first byte; stop it when its head is complete."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_timers()
        elif self._head_timer is None:
            self._expect_head()

    def pause_writing(self) -> None:
        """Start the time limit for a client to read."""
        super().pause_writing()
        self._read_timer = self.loop.call_later(self.options.send_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the time limit: the client has read."""
        super().resume_writing()
        if self._read_timer is not None:
            self._read_timer.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all time limits."""
        super().connection_lost(exc)
        self._stop_timers()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.options.head_timeout_s, self.transport.abort)

    def _stop_timers(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def bounded_connection(options: ServerOptions) -> type[BoundedConnection]:
    """Return the class of connections with these limits."""
    return type("BoundedConnection", (BoundedConnection,), {"options": options})
