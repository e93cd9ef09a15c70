"""Reads a streamed reply: server-sent events of OpenAI's API, or lines of JSON of Ollama's.

Formats: https://html.spec.whatwg.org/multipage/server-sent-events.html,
https://platform.openai.com/docs/api-reference/chat-streaming, https://docs.ollama.com/api/streaming.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any

from spnl_tui.engine.endpoint.endpoints import Endpoint
from spnl_tui.engine.endpoint.faults import connection_error, cut_off, response_error, unreadable

if TYPE_CHECKING:
    import httpx2

_LONGEST_LINE = 16 * 1024 * 1024
"""The limit of a line, in characters. Tool calls and log-probabilities come in one line."""
END: dict[str, Any] = {}
"""Marks the end of a reply that the server has completed."""


async def pieces_of(response: httpx2.Response, endpoint: Endpoint) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the JSON objects of a reply up to its end, each in the shape of OpenAI's streams.

    Raises:
        EndpointError: the connection failed, or the server sent something else.
    """
    import httpx2

    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    begun = False
    try:
        if kind == "application/json":
            yield _whole(await _body(response), endpoint)
            return
        async for line in _lines(response.aiter_bytes(), endpoint):
            if not begun and (
                line.lstrip()[:15].lower().startswith(("<!doctype", "<html")) or "html" in kind
            ):
                raise response_error(200, {"content-type": "text/html"}, b"", endpoint)
            if (data := _data(line)) is None:
                continue
            if data == "[DONE]":
                yield END
                return
            begun = True
            yield ollama_piece(_object(data, endpoint))
    except httpx2.HTTPError as error:
        raise connection_error(error, endpoint, begun=begun, answered=True) from None
    if not begun and kind not in ("text/event-stream", "application/x-ndjson"):
        raise unreadable(endpoint, kind or "an empty response")


async def _lines(chunks: AsyncIterator[bytes], endpoint: Endpoint) -> AsyncIterator[str]:
    """Split into lines, which may end in CR, LF or both; the last line may be unterminated."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    async for chunk in chunks:
        rest += decoder.decode(chunk)
        # A CR at the end may be the first half of CR LF.
        held = "\r" if rest.endswith("\r") else ""
        rest = rest.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
        *lines, rest = rest.split("\n")
        rest += held
        for line in lines:
            yield line
        if len(rest) > _LONGEST_LINE:
            raise unreadable(endpoint, rest[:100])
    rest = (rest + decoder.decode(b"", final=True)).rstrip("\r")
    if rest:
        yield rest


def _data(line: str) -> str | None:
    """Return the JSON in a line; None for comments, empty lines and other fields of an event."""
    line = line.lstrip("\ufeff").strip()
    if not line or line.startswith(":"):
        return None
    field, colon, value = line.partition(":")
    if colon and field == "data":
        return value.strip() or None
    if field in ("event", "id", "retry"):
        return None
    return line  # a line of Ollama's, or invalid


def _object(data: str, endpoint: Endpoint) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        # Cut off in the middle of a line, or not JSON at all.
        raise (cut_off(endpoint) if data.startswith("{") else unreadable(endpoint, data)) from None
    if not isinstance(value, dict):
        raise unreadable(endpoint, data)
    return value


async def _body(response: httpx2.Response) -> bytes:
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > _LONGEST_LINE:
            break
    return bytes(data)


def _whole(data: bytes, endpoint: Endpoint) -> dict[str, Any]:
    """Return a complete reply, which some servers send instead of a stream, as one piece."""
    value = _object(data.decode("utf-8", "replace").strip(), endpoint)
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and "message" in choice:
            choice["delta"] = choice["message"]
    return value


def ollama_piece(value: dict[str, Any]) -> dict[str, Any]:
    """Return a piece of Ollama's in the shape of OpenAI's; return others unchanged."""
    if "done" not in value or not ("message" in value or "response" in value):
        return value
    message = value.get("message")
    delta = dict(message) if isinstance(message, dict) else {"content": value.get("response")}
    calls = delta.pop("tool_calls", None) or ()
    if calls:
        delta["tool_calls"] = [
            {"index": None, "function": each.get("function")} for each in calls if isinstance(each, dict)
        ]
    piece: dict[str, Any] = {"choices": [{"index": 0, "delta": delta}], "model": value.get("model")}
    if value["done"]:
        piece["choices"][0]["finish_reason"] = value.get("done_reason") or "stop"
        piece["usage"] = {
            "prompt_tokens": value.get("prompt_eval_count") or 0,
            "completion_tokens": value.get("eval_count") or 0,
        }
    if "error" in value:
        piece["error"] = value["error"]
    return piece
