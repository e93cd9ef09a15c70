"""Faults of servers: every request ends in a message or a whole reply."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from spnl_tui.engine.backend import Event, ReplyChunk, ReplyFinished, RequestFailed
from spnl_tui.engine.endpoint import faults
from spnl_tui.engine.endpoint.endpoints import Endpoint
from tests.support.endpoint_server import (
    DONE,
    USAGE,
    WELL,
    Answer,
    Asked,
    endpoint_at,
    engine_of,
    events_of,
    piece,
    replying,
    send,
    serving,
)


@dataclass(frozen=True)
class Fault:
    """An answer, and what the user reads."""

    answer: Answer
    title: str
    """Empty if the reply is complete all the same."""
    told: str = ""
    """A part of the message or of the hint."""
    kept: str = ""
    """The part of the reply that came."""
    attempts: int = 1
    timeout_s: float = 20.0


def refusing(status: str, body: object = None, kind: str = "application/json", **headers: str) -> Answer:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        await send(writer, data, status, **{"Content-Type": kind, **headers})

    return answer


def raw(data: bytes, *, then_wait: bool = False, reset: bool = False) -> Answer:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_wait:
            await asyncio.sleep(30)
        if reset:
            option = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # linger for no time: close with RST
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
            writer.transport.abort()

    return answer


def once(fault: Answer, then: Answer = WELL) -> Answer:
    seen: list[Asked] = []

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        seen.append(asked)
        await (fault if len(seen) == 1 else then)(asked, writer)

    return answer


def chunked(*pieces: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces)


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
ERROR = {"error": {"message": "wrong in some way", "code": "bad_thing"}}
FULL = {
    "error": {
        "message": "This model's maximum context length is 4096 tokens.",
        "code": "context_length_exceeded",
    }
}
MISSING = {"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}
PAGE = "<!DOCTYPE html><html><body>Log in</body></html>"
BAD_KEY = {"error": {"message": "Incorrect API key provided"}}
CUT, READ, BUSY = (
    "The reply was cut off",
    "The server sent something that cannot be read",
    "The server is busy",
)

FAULTS: Mapping[str, Fault] = {
    "400": Fault(
        refusing("400 Bad", ERROR), "The server refused the request", "wrong in some way (bad_thing)"
    ),
    "401": Fault(refusing("401 No", BAD_KEY), "The server refused the key", "api_key_env"),
    "402": Fault(refusing("402 Pay", ERROR), "The account has no credit"),
    "403": Fault(refusing("403 No", ERROR), "The server refused access"),
    "404 of a model": Fault(
        refusing("404 No", MISSING), "The server does not have this model", "It has mistral-large"
    ),
    "413": Fault(refusing("413 Large", "too large"), "The request is too large"),
    "429 for long": Fault(refusing("429 Busy", ERROR, **{"Retry-After": "90"}), BUSY, "in 90 s"),
    "429 for a moment": Fault(
        once(refusing("429 Busy", ERROR, **{"Retry-After": "0"})), "", kept="Hello there", attempts=2
    ),
    "429 for ever": Fault(refusing("429 Busy", ERROR, **{"Retry-After": "0"}), BUSY, attempts=3),
    "429 of a quota": Fault(
        refusing("429 Busy", {"error": {"message": "You exceeded your current quota"}}),
        "The account has no credit",
    ),
    "500": Fault(refusing("500 Broken", ERROR), "The server failed", "wrong in some way", attempts=3),
    "503 once": Fault(once(refusing("503 Later", {})), "", kept="Hello there", attempts=2),
    "502 with a page": Fault(
        refusing("502 Gateway", PAGE, "text/html"), "The server sent a web page", "HTTP 502", attempts=3
    ),
    "a redirect": Fault(
        refusing("307 There", "", Location="http://evil.test/v1"),
        "The server redirects requests",
        "evil.test",
    ),
    "context exceeded": Fault(
        refusing("400 Bad", FULL), "The prompt is longer than the context", "4096", attempts=2
    ),
    "a page": Fault(refusing("200 OK", PAGE, "text/html"), "The server sent a web page", "/v1"),
    "a page in a stream": Fault(replying(PAGE.encode()), "The server sent a web page"),
    "no JSON": Fault(replying(b"data: what?\n\n"), READ, "what?"),
    "no object": Fault(replying(b"data: [1, 2]\n\n"), READ),
    "nonsense after a part": Fault(replying(piece("Hello"), b"data: what?\n\n"), READ, kept="Hello"),
    "nothing": Fault(replying(), CUT),
    "another type": Fault(replying(kind="text/plain"), READ),
    "no HTTP": Fault(raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"), "The server does not speak HTTP"),
    "closed at once": Fault(raw(b""), "The server closed the connection", attempts=3),
    "reset at once": Fault(raw(b"", reset=True), "The server closed the connection", attempts=3),
    "closed once": Fault(once(raw(b"")), "", kept="Hello there", attempts=2),
    "cut after a part": Fault(replying(piece("Hello")), CUT, "Continue", kept="Hello"),
    "cut in an event": Fault(replying(piece("Hello"), piece(" there")[:30]), CUT, kept="Hello"),
    "cut in a chunk": Fault(raw(chunked(piece("Hello"), piece(" there"))[:-7]), CUT, kept="Hello"),
    "cut before a part": Fault(
        raw(chunked(piece("Hello"))[:-7]), "The server closed the connection", attempts=3
    ),
    "reset after a part": Fault(raw(STREAM + piece("Hello"), reset=True), CUT),
    "silent": Fault(
        raw(b"", then_wait=True), "The server did not answer in time", "timeout_s", timeout_s=1.0
    ),
    "silent after a part": Fault(
        raw(STREAM + piece("Hello"), then_wait=True), "The reply stopped", kept="Hello", timeout_s=1.0
    ),
    "an error in the stream": Fault(
        replying(piece("Hello"), b'data: {"error": {"message": "out of memory"}}\n\n'),
        "The server failed",
        "out of memory",
        kept="Hello",
    ),
    "an error event": Fault(
        replying(b'event: error\ndata: {"error": "no slot"}\n\n'), "The server failed", "no slot", attempts=3
    ),
    "a filter": Fault(
        replying(piece("Hello", reason="content_filter"), DONE),
        "The server withheld the rest of the reply",
        kept="Hello",
    ),
    "control characters": Fault(
        refusing("400 Bad", {"error": "\x1b[2J\x07 no"}), "The server refused the request", "[2J no"
    ),
    # Odd, and yet a whole reply.
    "no [DONE]": Fault(replying(piece("Hello there", reason="stop")), "", kept="Hello there"),
    "no reason": Fault(replying(piece("Hello there"), DONE), "", kept="Hello there"),
    "comments and CR LF": Fault(
        replying(b": hold on\r\n\r\n", piece("Hello there", reason="stop").replace(b"\n", b"\r\n"), DONE),
        "",
        kept="Hello there",
    ),
    "fields without a space": Fault(
        replying(piece("Hello there", reason="stop").replace(b"data: ", b"data:"), b"data:[DONE]"),
        "",
        kept="Hello there",
    ),
    "null and unknown fields": Fault(
        replying(
            b'data: {"choices": [{"index": 0, "delta": null}], "x": 1}\n\n',
            b'data: {"choices": null}\n\n',
            piece("Hello there", reason="stop"),
            DONE,
        ),
        "",
        kept="Hello there",
    ),
    "no stream": Fault(
        refusing(
            "200 OK",
            {"choices": [{"index": 0, "message": {"content": "Hello there"}, "finish_reason": "stop"}]},
        ),
        "",
        kept="Hello there",
    ),
    "split in the middle of a character": Fault(
        replying(
            b'data: {"choices": [{"index": 0, "delta": {"content": "H\xc3',
            b'\xa9"}, "finish_reason": "stop"}]}\n',
            b"\n",
        ),
        "",
        kept="Hé",
    ),
}


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_SHORTEST_WAIT_S", 0.001)


def check_ends(events: list[Event]) -> ReplyFinished | RequestFailed:
    """Return the end, of which there must be exactly one, after everything else."""
    *before, end = events
    assert isinstance(end, ReplyFinished | RequestFailed)
    assert not any(isinstance(each, ReplyFinished | RequestFailed) for each in before)
    return end


@pytest.mark.slow
@pytest.mark.usefixtures("no_waiting")
async def test_each_fault_ends_in_its_message_or_a_whole_reply() -> None:
    async def check(name: str, fault: Fault) -> None:
        models = ({"id": "mistral-large", "owned_by": "test"},)
        async with (
            serving(fault.answer, models=models) as server,
            engine_of(endpoint_at(server.port, timeout_s=fault.timeout_s)) as engine,
        ):
            events = await events_of(engine)
        end = check_ends(events)
        title = end.title if isinstance(end, RequestFailed) else ""
        assert title == fault.title, (name, end)
        if isinstance(end, RequestFailed):
            assert fault.told in f"{end.message} {end.hint}", (name, end)
            assert "\x1b" not in f"{end.message}{end.hint}"
        text = "".join(each.text for each in events if isinstance(each, ReplyChunk))
        assert fault.kept in text, (name, text)
        assert len(server.chats) == fault.attempts, name

    assert len(FAULTS) >= 30
    await asyncio.gather(*(check(name, fault) for name, fault in FAULTS.items()))


@pytest.mark.parametrize(
    ("endpoint", "title"),
    [
        ({"url": "http://127.0.0.1:1/v1"}, "The server is not running"),
        ({"url": "http://nowhere.invalid/v1"}, "The server's name is unknown"),
    ],
)
async def test_unreachable_server_is_reported(endpoint: dict[str, str], title: str) -> None:
    async with engine_of(replace(endpoint_at(1), **endpoint)) as engine:  # type: ignore[arg-type]  # texts
        end = check_ends(await events_of(engine))
    assert isinstance(end, RequestFailed)
    assert end.title == title
    assert end.kind == "load"


async def test_plain_http_at_an_https_address_is_reported() -> None:
    async with serving(WELL) as server:
        endpoint = Endpoint(name="box", url=f"https://127.0.0.1:{server.port}/v1", configured=True)
        async with engine_of(endpoint) as engine:
            end = check_ends(await events_of(engine))
    assert isinstance(end, RequestFailed)
    assert end.title == "The connection cannot be encrypted"


@pytest.mark.slow
@pytest.mark.usefixtures("no_waiting")
async def test_random_cuts_of_a_stream_end_in_a_message_or_the_reply() -> None:
    whole = b"".join((piece("Hello"), piece(" there"), piece("", reason="stop"), USAGE, DONE))
    choose = random.Random(1)

    async def cut(at: int, noise: bytes) -> None:
        async with (
            serving(replying(whole[:at] + noise)) as server,
            engine_of(endpoint_at(server.port)) as engine,
        ):
            end = check_ends(await events_of(engine))
            assert isinstance(end, RequestFailed) or at > whole.index(b"stop")

    for _ in range(10):
        cuts = [
            (choose.randrange(len(whole)), choose.choice((b"", b"\n\n", b"\xff{", b"data: 1\n\n")))
            for _ in range(20)
        ]
        await asyncio.gather(*(cut(*each) for each in cuts))
