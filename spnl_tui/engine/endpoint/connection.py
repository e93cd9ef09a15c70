"""HTTP connections to one server. Only this module adds the key to requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.engine.endpoint.faults import EndpointError, connection_error, response_error
from spnl_tui.engine.endpoint.keys import KeySource, Secret, expand

if TYPE_CHECKING:
    import httpx2

_CONNECT_S = 10.0
_LARGEST_ERROR = 64 * 1024
_LARGEST_JSON = 16 * 1024 * 1024


class Connection:
    """Sends requests to one server and turns every failure into an EndpointError."""

    def __init__(self, endpoint: Endpoint, environ: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._environ = environ
        self._keys = KeySource(environ, variable=endpoint.api_key_env, command=endpoint.api_key_command)
        self._client: httpx2.AsyncClient | None = None

    async def get(self, url: str, *, patience_s: float | None = None) -> Any:
        """Return the JSON at this address of the server, waiting for at most `patience_s` seconds.

        Raises:
            EndpointError: the request failed, or the response is not JSON.
        """
        return await self._json("GET", url, None, patience_s)

    async def post(self, url: str, body: Any, *, patience_s: float | None = None) -> Any:
        """Send JSON and return the JSON of the response, waiting for at most `patience_s` seconds.

        Raises:
            EndpointError: the request failed, or the response is not JSON.
        """
        return await self._json("POST", url, body, patience_s)

    @asynccontextmanager
    async def stream(self, url: str, body: Any, model: str) -> AsyncIterator[httpx2.Response]:
        """Send JSON and yield the response, whose body the caller reads.

        Leaving the context closes the connection, so the server stops computing the reply.

        Raises:
            EndpointError: there is no response, or it is an error.
            SpnlError: the key is missing.
        """
        import httpx2

        key = await self._key()
        request = self._open().build_request(
            "POST", url, json=body, headers=self._headers(key), timeout=self._timeout()
        )
        try:
            response = await self._open().send(request, stream=True)
        except httpx2.HTTPError as error:
            raise connection_error(error, self._endpoint) from None
        try:
            if response.status_code != 200:
                raise await self._refused(response, key, model)
            yield response
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _json(self, method: str, url: str, body: Any, patience_s: float | None) -> Any:
        import httpx2

        key = await self._key()
        try:
            async with self._open().stream(
                method, url, json=body, headers=self._headers(key), timeout=self._timeout(patience_s)
            ) as response:
                if response.status_code != 200:
                    raise await self._refused(response, key, "")
                data = await _read(response, _LARGEST_JSON)
                headers = dict(response.headers)
        except httpx2.HTTPError as error:
            raise connection_error(error, self._endpoint) from None
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            wrong = response_error(200, headers, data, self._endpoint)
            if wrong.title == "The server sent a web page":
                raise wrong from None
            raise EndpointError(
                "The server sent something that cannot be read",
                f"{self._endpoint.host} sent no JSON at {urlsplit(url).path}.",
                "Check that the url is that of an OpenAI-compatible server.",
            ) from None

    async def _refused(self, response: httpx2.Response, key: Secret | None, model: str) -> EndpointError:
        import httpx2

        try:
            body = await _read(response, _LARGEST_ERROR)
        except httpx2.HTTPError:
            body = b""
        if response.status_code == 401:
            self._keys.forget()
        error = response_error(response.status_code, response.headers, body, self._endpoint, model)
        if key is not None:
            error.message = key.hidden(error.message)
        return error

    async def _key(self) -> Secret | None:
        key = await self._keys.key()
        endpoint = self._endpoint
        if endpoint.unencrypted and not endpoint.plain_http and (key is not None or endpoint.headers):
            raise EndpointError(
                "The key would cross the network unencrypted",
                f"{endpoint.url} uses plain HTTP to another machine.",
                f"Use https://, or allow it: plain_http = true in [endpoints.{endpoint.name}].",
            )
        return key

    def _headers(self, key: Secret | None) -> dict[str, str]:
        headers = {name: expand(value, self._environ) for name, value in self._endpoint.headers.items()}
        if key is not None:
            headers["Authorization"] = f"Bearer {key.reveal()}"
        return headers

    def _timeout(self, patience_s: float | None = None) -> httpx2.Timeout:
        import httpx2

        longest = (
            self._endpoint.timeout_s if patience_s is None else min(patience_s, self._endpoint.timeout_s)
        )
        return httpx2.Timeout(longest, connect=min(_CONNECT_S, longest), pool=None)

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            import httpx2

            # Local servers need no proxy. A redirect could send the key and the prompt to another host.
            self._client = httpx2.AsyncClient(
                follow_redirects=False,
                trust_env=not self._endpoint.is_local,
                # Loading the certificates takes 30 ms, and plain HTTP needs none.
                verify=self._endpoint.url.startswith("https:"),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=16),
            )
        return self._client


async def _read(response: httpx2.Response, most: int) -> bytes:
    data = bytearray()
    async for piece in response.aiter_bytes():
        data += piece
        if len(data) > most:
            break
    return bytes(data[:most])
