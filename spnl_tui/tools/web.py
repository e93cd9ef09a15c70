"""The built-in tool that reads web pages.

Addresses are checked when the connection is made, on the very address that is used: a name that resolves to
another address later, or a redirect to a private one, gets nowhere.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from spnl_tui.models.tools import Tool
from spnl_tui.tools.tool import Arguments, BuiltInTool, Effect, Outcome, Prepared, ToolError, schema

if TYPE_CHECKING:
    import httpcore2

MOST_BYTES = 3_000_000
TIMEOUT_S = 30.0
_MOST_REDIRECTS = 5
_CHUNK = 20_000
"""Characters of a page that are returned at once."""
_LEFT_OUT = [
    "script",
    "style",
    "noscript",
    "nav",
    "header",
    "footer",
    "aside",
    "form",
    "svg",
    "iframe",
    "template",
]


def web_tools(*, private_addresses: bool = False) -> tuple[BuiltInTool, ...]:
    """Return the tool that reads web pages. `private_addresses`: also those of this network are read."""

    async def prepare(arguments: Arguments) -> Prepared:
        url, offset = arguments["url"].strip(), arguments.get("offset", 0)
        address = checked_url(url)

        async def run() -> Outcome:
            final, text = await fetch(address, private_addresses=private_addresses)
            part = text[offset : offset + _CHUNK]
            left = len(text) - offset - len(part)
            if left > 0:
                part += f"\n[{left:,} more characters. Call fetch_url with offset={offset + len(part)}.]"
            return Outcome.of_text(f"{final}\n\n{part}")

        host = urlsplit(address).hostname or ""
        return Prepared(effect=Effect(summary=address, note=f"sends a request to {host}"), run=run)

    tool = Tool(
        name="fetch_url",
        description="Returns the readable text of a web page.",
        parameters=schema(
            ("url",),
            url={"type": "string", "description": "An http or https address.", "maxLength": 2000},
            offset={"type": "integer", "description": "Characters to skip.", "minimum": 0},
        ),
    )
    hint = "Call fetch_url with a larger offset for the rest."
    return (BuiltInTool(tool=tool, group="web", prepare=prepare, foreign=True, rest_hint=hint),)


def checked_url(url: str) -> str:
    """Return the address with its host as it is sent: letters that look like others become punycode.

    Raises:
        ToolError: it is not an http address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ToolError(f"The address is not valid: {error}.") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ToolError("Only addresses that begin with http:// or https:// can be read.")
    if parts.username is not None or parts.password is not None:
        raise ToolError("An address with a user name or a password is refused.")
    try:
        ascii_host = host if ":" in host else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ToolError("The host of the address is not valid.") from error
    shown = f"[{ascii_host}]" if ":" in ascii_host else ascii_host
    path = (
        "".join(c if c.isascii() and c.isprintable() and c != " " else _quoted(c) for c in parts.path) or "/"
    )
    query = "".join(c if c.isascii() and c.isprintable() and c != " " else _quoted(c) for c in parts.query)
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}{f'?{query}' if query else ''}"


async def fetch(url: str, *, private_addresses: bool = False) -> tuple[str, str]:
    """Return the final address and the readable text of a page.

    Raises:
        ToolError: it cannot be read, or its address is private.
    """
    import httpcore2

    backend = _checked_backend(private_addresses)
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpcore2.AsyncConnectionPool(
                network_backend=backend, ssl_context=ssl.create_default_context()
            ) as pool,
        ):
            for _ in range(_MOST_REDIRECTS + 1):
                status, headers, body = await _get(pool, url)
                location = headers.get("location")
                if status not in (301, 302, 303, 307, 308) or not location:
                    break
                url = checked_url(urljoin(url, location))
            else:
                raise ToolError(f"{url} redirects more than {_MOST_REDIRECTS} times.")
    except TimeoutError as error:
        raise ToolError(f"{url} did not answer within {TIMEOUT_S:.0f} s.") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
        raise ToolError(f"{url} cannot be read: {error or type(error).__name__}.") from error
    if status >= 400:
        raise ToolError(f"{url} answered with status {status}.")
    return url, await asyncio.to_thread(readable, headers.get("content-type", ""), body)


async def _get(pool: httpcore2.AsyncConnectionPool, url: str) -> tuple[int, dict[str, str], bytes]:
    headers = {
        "User-Agent": "spnl-chat",
        "Accept": "text/html, text/*, application/json",
        "Accept-Encoding": "identity",
    }
    async with pool.stream("GET", url, headers=list(headers.items())) as response:
        received = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in response.headers}
        body = bytearray()
        async with aclosing(response.aiter_stream()) as stream:
            async for chunk in stream:
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ToolError(f"{url} is longer than {MOST_BYTES:,} bytes.")
        return response.status, received, bytes(body)


def readable(content_type: str, body: bytes) -> str:
    """Return a page as Markdown, or a text as it is.

    Raises:
        ToolError: it is neither.
    """
    kind, _, parameters = content_type.lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(" \"'") or "utf-8"
    try:
        text = body.decode(charset, "replace")
    except LookupError:
        text = body.decode("utf-8", "replace")
    kind = kind.strip()
    if kind in ("text/html", "application/xhtml+xml") or (not kind and "<html" in text[:2000].lower()):
        return _markdown(text)
    if kind.startswith("text/") or kind.endswith(("json", "xml", "javascript", "yaml")) or not kind:
        return text
    raise ToolError(f"The page is {kind}, not a text.")


def _markdown(html: str) -> str:
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    page = BeautifulSoup(html, "html.parser")
    for element in page(_LEFT_OUT):
        element.decompose()
    title = page.title.get_text(strip=True) if page.title else ""
    main = page.find("main") or page.find("article") or page.body or page
    lines = str(MarkdownConverter(strip=["img"]).convert_soup(main)).splitlines()
    kept: list[str] = []
    for line in map(str.rstrip, lines):
        if line or (kept and kept[-1]):
            kept.append(line)
    text = "\n".join(kept).strip()
    return f"# {title}\n\n{text}" if title and title not in text[:200] else text


def is_private(address: str) -> bool:
    """Return True unless the address belongs to the public Internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if embedded is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            return is_private(str(embedded))
    return not ip.is_global or ip.is_multicast


def _checked_backend(private_addresses: bool) -> httpcore2.AsyncNetworkBackend:
    import httpcore2

    class CheckedBackend(httpcore2.AnyIOBackend):
        """Connects only to addresses that were checked, by the number that was checked."""

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore2.AsyncNetworkStream:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
            if not private_addresses and any(map(is_private, addresses)):
                raise ToolError(
                    f"{host} has a private address. Reading those is off: [tools] private_addresses = true."
                )
            problem: Exception = ToolError(f"{host} has no address.")
            for address in addresses:
                try:
                    return await super().connect_tcp(address, port, timeout, local_address, socket_options)
                except httpcore2.NetworkError as error:
                    problem = error
            raise problem

    return CheckedBackend()


def _quoted(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "replace"))
