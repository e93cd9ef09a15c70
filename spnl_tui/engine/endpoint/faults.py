"""Describes the failures of a server for the user."""

from __future__ import annotations

import difflib
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from spnl_tui.engine.backend import ErrorKind
from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.errors import SpnlError
from spnl_tui.text import first_line

_LONGEST = 300
"""The most characters to quote from a server's message."""
_CONTEXT = re.compile(
    r"context_length_exceeded|exceed_context_size|context (?:length|window|size)|maximum.{0,20}context|"
    r"exceeds? the (?:available |model'?s? )?(?:context|maximum)|too many tokens|prompt is too long",
    re.IGNORECASE,
)
_MODEL_MISSING = re.compile(
    r"model.{0,120}(?:not found|does not exist|not served|no such)", re.IGNORECASE | re.DOTALL
)
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed."""
ATTEMPTS = 3


class EndpointError(SpnlError):
    """A request to a server failed. `kind` is that of `RequestFailed`."""

    def __init__(
        self,
        title: str,
        message: str = "",
        hint: str = "",
        *,
        kind: ErrorKind = "request",
        status: int = 0,
        retry_after_s: float | None = None,
        transient: bool = False,
    ) -> None:
        """`status` is the HTTP status, or 0 without a response. `transient`: a retry may help."""
        super().__init__(title, message, hint)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s
        self.transient = transient

    def wait_s(self, attempt: int) -> float | None:
        """Return the seconds to wait before another attempt; None if only the user may retry."""
        if not self.transient or attempt + 1 >= ATTEMPTS:
            return None
        if self.retry_after_s is not None:
            return self.retry_after_s if self.retry_after_s <= _LONGEST_WAIT_S else None
        return float(_SHORTEST_WAIT_S * 2**attempt)


# ── no response ──────────────────────────────────────────────────────────────────────────────────


def connection_error(
    error: Exception, endpoint: Endpoint, *, begun: bool = False, answered: bool = False
) -> EndpointError:
    """Return the error for an exception of the connection.

    `begun`: part of the reply has arrived. `answered`: at least the headers have.
    """
    import httpx2

    host = endpoint.host
    causes = tuple(_causes(error))
    text = " ".join(str(each) for each in causes)
    if begun:
        return stalled(endpoint) if isinstance(error, httpx2.ReadTimeout) else cut_off(endpoint)
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in causes) or "CERTIFICATE_VERIFY" in text:
        return EndpointError(
            "The server's certificate is not trusted",
            f"{host}: {_certificate(text)}",
            "If the certificate is your own, set SSL_CERT_FILE to its file.",
            kind="load",
        )
    if any(isinstance(each, ssl.SSLError) for each in causes) or "SSL" in text:
        return EndpointError(
            "The connection cannot be encrypted",
            f"{host} does not respond with TLS.",
            "If it serves plain HTTP, write http:// in the url of the endpoint.",
            kind="load",
        )
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return EndpointError(
            "The server cannot be reached",
            f"{host} did not accept a connection in time.",
            "Check the address, the network and the firewall.",
            kind="load",
        )
    if isinstance(error, httpx2.ReadTimeout | httpx2.WriteTimeout):
        return EndpointError(
            "The server did not answer in time",
            f"{host} sent nothing for {endpoint.timeout_s:g} s.",
            "Send again. If the model needs longer, raise timeout_s of the endpoint.",
        )
    if isinstance(error, httpx2.ConnectError):
        return _not_connected(text, endpoint)
    if isinstance(error, httpx2.RemoteProtocolError) and not answered and "disconnected" not in text:
        return EndpointError(
            "The server does not speak HTTP",
            f"{host} answered with something else.",
            "Check the address: another program may listen there.",
        )
    return EndpointError(
        "The server closed the connection", f"{host} sent no reply.", "Send again.", transient=True
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = 0
    while error is not None and seen < 10:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def _certificate(text: str) -> str:
    match = re.search(r"certificate verify failed: ([^(\[\]]+)", text)
    return f"{first_line(match[1], 120).rstrip('.')}." if match else "its certificate could not be verified."


def _not_connected(text: str, endpoint: Endpoint) -> EndpointError:
    host = endpoint.host
    if re.search(r"getaddrinfo|name or service|nodename|name resolution|No address", text, re.IGNORECASE):
        return EndpointError(
            "The server's name is unknown",
            f"No address was found for {host}.",
            "Check the spelling of the url, and the network.",
            kind="load",
        )
    if re.search(r"unreachable|no route", text, re.IGNORECASE):
        return EndpointError(
            "The server cannot be reached", f"There is no route to {host}.", "Check the network.", kind="load"
        )
    start = _STARTS.get(endpoint.server, "Start it, or check the port in its url.")
    return EndpointError("The server is not running", f"Nothing answers at {host}.", start, kind="load")


_STARTS: Mapping[str, str] = {
    "ollama": "Start it: ollama serve",
    "vllm": "Start it: vllm serve ORG/NAME",
    "llamacpp": "Start it: llama-server -m FILE.gguf",
    "lmstudio": "Start its server: lms server start",
    "mistralrs": "Start it: mistralrs serve -m ORG/NAME",
    "spnl": "Start it: spnl-chat serve",
}


# ── a response ───────────────────────────────────────────────────────────────────────────────────


def response_error(
    status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, model: str = ""
) -> EndpointError:
    """Return the error for a response that is not a reply."""
    host, said = endpoint.host, what_it_says(body)
    quoted = f"{host}: {said}" if said else f"{host} gave no reason (HTTP {status})."
    kind: ErrorKind = "request"
    if 300 <= status < 400:
        target = first_line(headers.get("location", ""), 120)
        return EndpointError(
            "The server redirects requests",
            f"{host} redirects to {target or 'another address'}. Your key and prompt were not sent there.",
            "If you trust that address, set it as the url of the endpoint.",
            status=status,
        )
    if _is_page(headers, body):
        return EndpointError(
            "The server sent a web page",
            f"{endpoint.url} sent a web page instead of a reply (HTTP {status}).",
            "Check the url: most end in /v1. A proxy or login page may be in the way.",
            status=status,
            transient=status in RETRIED,
        )
    if _CONTEXT.search(said) and 400 <= status < 500:
        return EndpointError(
            "The prompt is longer than the context",
            quoted,
            "Shorten the prompt or begin a new conversation.",
            kind="context",
            status=status,
        )
    if status == 401:
        return EndpointError("The server refused the key", quoted, _key_hint(endpoint), status=status)
    if status == 403:
        return EndpointError(
            "The server refused access", quoted, "Check what this key is allowed to use.", status=status
        )
    if status == 402:
        return EndpointError(
            "The account has no credit", quoted, "Check the account's billing.", status=status
        )
    if status == 404 or (status == 400 and _MODEL_MISSING.search(said)):
        return EndpointError(
            "The server does not have this model" if model else "The address does not exist",
            quoted,
            f"List its models: spnl-chat endpoints {endpoint.name}",
            status=status,
        )
    if status == 413:
        return EndpointError("The request is too large", quoted, "Send fewer files or images.", status=status)
    if status == 429:
        return _too_many(headers, quoted)
    if status >= 500:
        return EndpointError(
            "The server failed", quoted, "Send again later. The server's log may say why.",
            status=status, retry_after_s=retry_after_s(headers), transient=status in RETRIED,
        )  # fmt: skip
    return EndpointError(
        "The server refused the request", quoted, _UNKNOWN_HINT, kind=kind, status=status,
        retry_after_s=retry_after_s(headers), transient=status in RETRIED,
    )  # fmt: skip


_UNKNOWN_HINT = "docs/endpoints.md lists what each server can do."


def _too_many(headers: Mapping[str, str], quoted: str) -> EndpointError:
    wait = retry_after_s(headers)
    quota = re.search(r"quota|billing|credit", quoted, re.IGNORECASE)
    return EndpointError(
        "The account has no credit" if quota else "The server is busy",
        quoted,
        "Check the account's billing." if quota
        else f"Send again in {wait:.0f} s." if wait is not None
        else "Send again later.",
        status=429,
        retry_after_s=wait,
        transient=not quota,
    )  # fmt: skip


def _key_hint(endpoint: Endpoint) -> str:
    if endpoint.api_key_env is not None:
        return f"Check the key in {endpoint.api_key_env}."
    if endpoint.api_key_command is not None:
        return "Check what api_key_command prints."
    return f'Name the variable with the key: api_key_env = "MY_KEY" in [endpoints.{endpoint.name}].'


def what_it_says(body: bytes | Any) -> str:
    """Return the reason in the body of an error response, on one line; empty if there is none.

    Servers put it into `error.message`, `error`, `message` or `detail`.
    """
    value = body
    if isinstance(body, bytes):
        text = body.decode("utf-8", "replace")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return "" if text.lstrip().startswith("<") else first_line(text, _LONGEST)
    for _ in range(4):
        if isinstance(value, list) and value:
            value = value[0]  # Gemini
        if not isinstance(value, dict):
            break
        code = value.get("code")
        value = next((value[key] for key in ("error", "message", "detail", "msg") if value.get(key)), "")
        if isinstance(code, str) and isinstance(value, str) and code not in value:
            value = f"{value} ({code})"
    return first_line(value, _LONGEST) if isinstance(value, str) else ""


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    return "html" in headers.get("content-type", "") or body.lstrip()[:15].lower().startswith(
        (b"<!doctype", b"<html")
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait: Retry-After of RFC 9110, section 10.2.3."""
    text = headers.get("retry-after", "").strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def with_nearest(error: EndpointError, model: str, names: list[str]) -> EndpointError:
    """Return the error with a hint that lists the most similar model names, if there are any."""
    if not names:
        return error
    bare = {name.rpartition("/")[2].lower(): name for name in names}
    near = difflib.get_close_matches(model.rpartition("/")[2].lower(), bare, 3, 0.4)
    shown = [bare[each] for each in near] or names[:3]
    error.hint = f"Did you mean {' or '.join(shown)}?" if near else f"It has {', '.join(shown)}."
    return error


# ── within a reply ───────────────────────────────────────────────────────────────────────────────

_CONTINUE = "The partial reply is kept. Continue it, or send again."


def cut_off(endpoint: Endpoint) -> EndpointError:
    """Return the error for a connection that closed before the reply ended."""
    return EndpointError(
        "The reply was cut off", f"{endpoint.host} closed the connection before the reply ended.", _CONTINUE
    )


def stalled(endpoint: Endpoint) -> EndpointError:
    """Return the error for a reply whose data stopped arriving."""
    return EndpointError(
        "The reply stopped", f"{endpoint.host} sent nothing more for {endpoint.timeout_s:g} s.", _CONTINUE
    )


def unreadable(endpoint: Endpoint, data: str) -> EndpointError:
    """Return the error for a piece of a reply that is not in the server's format."""
    return EndpointError(
        "The server sent something that cannot be read",
        f"{endpoint.host}: {first_line(data, 80)!r} is not part of a reply.",
        "The partial reply is kept. Check that the url is that of an OpenAI-compatible server.",
    )


def reported(endpoint: Endpoint, value: Any, *, begun: bool) -> EndpointError:
    """Return the error that a server reports in the middle of a reply."""
    said = what_it_says(value if isinstance(value, dict) else {"error": value})
    if _CONTEXT.search(said):
        return response_error(400, {}, json.dumps({"error": said}).encode(), endpoint)
    return EndpointError(
        "The server failed",
        f"{endpoint.host}: {said}" if said else f"{endpoint.host} gave no reason.",
        _CONTINUE if begun else "Send again later. The server's log may say why.",
        transient=not begun,
    )
