"""Runs the application on a socket: start it, ask where it is, stop it within two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import uvicorn

from spnl_tui.errors import SpnlError, cause_of
from spnl_tui.server.application import Api
from spnl_tui.server.connection import bounded_connection
from spnl_tui.server.options import ServerOptions

_log = logging.getLogger(__name__)
_END_S = 0.5
_MOST_CONNECTIONS = 512
_LONGEST_HEAD_BYTES = 32_768


class _Uvicorn(uvicorn.Server):
    """A server inside a program that has its own signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the program."""
        yield


class HttpServer:
    """The endpoints on one address."""

    def __init__(self, api: Api, options: ServerOptions) -> None:
        self._api = api
        self._options = options
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None
        self._address = ""

    @property
    def url(self) -> str:
        """The base address that clients are given, which ends in /v1."""
        return f"http://{self._address}/v1"

    async def start(self) -> None:
        """Listen.

        Raises:
            SpnlError: the address is in use or cannot be listened on.
        """
        listening = _listen(self._options)
        host, port = listening.getsockname()[:2]
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        _use_our_log()
        config = uvicorn.Config(
            self._api.application(),
            http=bounded_connection(self._options),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            h11_max_incomplete_event_size=_LONGEST_HEAD_BYTES,
            timeout_graceful_shutdown=1,
        )
        self._server = _Uvicorn(config)
        self._task = asyncio.create_task(self._server.serve([listening]))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  # uvicorn has no event
            await asyncio.sleep(0.01)
        if self._task.done():
            await self._task
        _log.info("serving on %s", self._address)

    async def stop(self) -> None:
        """Close all connections and end, within two seconds."""
        if self._server is None or self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            # Before uvicorn ends: it waits for requests that run.
            await asyncio.wait_for(self._api.close(), _END_S)
        self._server.should_exit = True
        await asyncio.wait((self._task,))
        self._server = self._task = None
        _log.info("stopped serving")


def _listen(options: ServerOptions) -> socket.socket:
    host = "127.0.0.1" if options.host.lower() == "localhost" else options.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, options.port), family=family, backlog=128)
    except OSError as error:
        raise SpnlError(
            f"Cannot listen on {options.host}:{options.port}",
            f"{cause_of(error)}.",
            "Choose another address: --host, --port. Port 0 takes a free one.",
        ) from error


def _use_our_log() -> None:
    """Write uvicorn's warnings to the program's log, and nothing to standard error."""
    logger = logging.getLogger("uvicorn")
    logger.handlers = logging.getLogger("spnl_tui").handlers or [logging.NullHandler()]
    logger.setLevel(logging.WARNING)
    logger.propagate = False
