"""Refuses requests before any of their body is read: foreign hosts and pages, missing keys, huge heads."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spnl_tui.server.errors import ApiError
from spnl_tui.server.metrics import Metrics
from spnl_tui.server.options import ServerOptions, is_loopback

_log = logging.getLogger(__name__)
MOST_HEADERS = 128
_OPEN_PATHS = ("/health",)
"""Paths that need no key."""


class Guard:
    """The outermost layer of the application. It counts and logs requests, without their headers."""

    def __init__(self, app: ASGIApp, options: ServerOptions, metrics: Metrics, paths: Iterable[str]) -> None:
        """`paths` are those that exist; all others are counted as one."""
        self._app = app
        self._options = options
        self._metrics = metrics
        self._paths = frozenset(paths)
        self._key_digest = None if options.key is None else _digest(options.key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request and pass it on."""
        if scope["type"] != "http":
            return  # no WebSockets, and nothing happens at the start or the end
        began = time.monotonic()
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, counted)
        except ApiError as error:
            await error.response()(scope, receive, counted)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.requests[path, status] += 1
            _log.info("%s %s %d %.3f s", scope["method"], path, status, time.monotonic() - began)

    def _check(self, scope: Scope) -> None:
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if len(headers) > MOST_HEADERS:
            raise ApiError(431, f"At most {MOST_HEADERS} headers are accepted.")
        self._check_host([value for name, value in headers if name == b"host"])
        origins = {value.decode("latin-1") for name, value in headers if name == b"origin"}
        if refused := origins - set(self._options.allowed_origins):
            raise ApiError(
                403,
                f"Pages of {', '.join(sorted(refused))[:200]} may not use this server. "
                "To allow them, add the origin to [server] allowed_origins.",
                code="origin_not_allowed",
            )
        if scope["path"] in _OPEN_PATHS or (origins and scope["method"] == "OPTIONS"):
            return
        self._check_key([value for name, value in headers if name == b"authorization"])

    def _check_host(self, hosts: list[bytes]) -> None:
        """Refuse names that a page made to point at this machine (DNS rebinding)."""
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else ""
        name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
        # A server for other machines has names that it does not know; there, the key protects it.
        if not name or (self._options.is_loopback and not is_loopback(name.strip("[]"))):
            raise ApiError(403, "This server is not available under this host name.", code="host_not_allowed")

    def _check_key(self, given: list[bytes]) -> None:
        if self._key_digest is None:
            return
        scheme, _, key = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        # Digests have one length, so the comparison takes the same time for every key.
        right = hmac.compare_digest(_digest(key.strip()), self._key_digest)
        if scheme.lower() != b"bearer" or not right:
            raise ApiError(
                401,
                "The key is missing or wrong. Send it as a header: Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
