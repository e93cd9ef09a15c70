"""What the server refuses, and how it ends requests: keys, hosts, pages, sizes, slow and absent clients."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from spnl_tui.engine.backend import Event, ModelHandle, ReplyChunk, ReplyFinished, Request
from spnl_tui.errors import SettingsError, SpnlError
from spnl_tui.log import start_log
from spnl_tui.paths import Paths
from spnl_tui.server.options import ServerOptions
from spnl_tui.server.serving import HttpServer
from tests.support.bare_backend import BareBackend
from tests.support.engines import fake_engine, fake_model
from tests.support.http_server import RunningServer, running_server
from tests.support.waiting import wait_until

KEY = "sk-very-secret-0123456789"
CHAT = "/v1/chat/completions"


class Endless(BareBackend):
    """Replies until it is left, and counts the replies that run."""

    running = 0

    def __init__(self, text: str = "") -> None:
        self._text = text

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        self.running += 1
        try:
            while self._text:
                yield ReplyChunk(text=self._text)
                await asyncio.sleep(0)
            await asyncio.Event().wait()
            yield ReplyFinished(finish_reason="stop")
        finally:
            self.running -= 1


MODEL = ModelHandle(name="m", backend="bare")


def ask(text: str = "hi", *, stream: bool = False) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "stream": stream}


async def begin(server: RunningServer, body: bytes) -> asyncio.StreamWriter:
    """Send a chat request on a connection of its own, and leave it open."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return writer


def test_address_that_others_reach_needs_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(SettingsError, match="needs a key"):
            ServerOptions(host=host)
        assert ServerOptions(host=host, key=KEY).key == KEY
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert ServerOptions(host=host).is_loopback
    assert KEY not in repr(ServerOptions(key=KEY))


async def test_only_the_right_key_is_answered() -> None:
    async with running_server(key=KEY) as server:
        for given, status in (
            (f"Bearer {KEY}", 200),
            (f"bearer {KEY}", 200),
            ("Bearer wrong", 401),
            (f"Bearer {KEY}x", 401),
            (f"Basic {KEY}", 401),
            (KEY, 401),
        ):
            answered, _ = await server.post(CHAT, ask(), Authorization=given)
            assert answered == status, given
        assert (await server.client.get("/v1/models")).status_code == 401
        assert (await server.client.get("/metrics")).status_code == 401
        assert (await server.client.get("/health")).status_code == 200


async def test_foreign_hosts_and_pages_are_refused() -> None:
    async with running_server(allowed_origins=("https://good.example",)) as server:
        for headers, status in (
            ({"Host": "evil.example"}, 403),
            ({"Host": f"evil.example:{server.port}"}, 403),
            ({"Host": "127.0.0.1.evil.example"}, 403),
            ({"Host": "localhost:1"}, 200),
            ({"Host": "[::1]:8484"}, 200),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": f"http://127.0.0.1:{server.port}"}, 403),
            ({"Origin": "https://good.example"}, 200),
        ):
            answered, _ = await server.post(CHAT, ask(), **headers)
            assert answered == status, headers
        twice = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"
        assert (await server.raw(twice)).split(b" ")[1] in (b"400", b"403")
        preflight = {"Access-Control-Request-Method": "POST"}
        good = await server.client.options(CHAT, headers={"Origin": "https://good.example", **preflight})
        evil = await server.client.options(CHAT, headers={"Origin": "https://evil.example", **preflight})
    assert good.headers["access-control-allow-origin"] == "https://good.example"
    assert evil.status_code == 403
    assert "access-control-allow-origin" not in evil.headers


@pytest.mark.slow
async def test_huge_bodies_and_heads_are_refused_unread() -> None:
    async with running_server(max_body_bytes=10_000) as server:
        declared = await server.raw(
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n".encode()
        )
        assert declared.startswith(b"HTTP/1.1 413")
        chunk = b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        assert (await server.raw(head + 3 * chunk)).startswith(b"HTTP/1.1 413")
        headers = b"".join(b"a%d: b\r\n" % number for number in range(10_000))
        start = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        assert (await server.raw(start + headers + b"\r\n")).split(b" ")[1] in (b"400", b"431")
        many = b"".join(b"a%d: b\r\n" % number for number in range(200))
        assert (await server.raw(start + many + b"\r\n")).startswith(b"HTTP/1.1 431")
        assert (await server.client.get("/health")).status_code == 200


async def test_slow_heads_and_bodies_time_out() -> None:
    async with running_server(head_timeout_s=0.2, body_timeout_s=0.2) as server:
        assert await server.raw(b"") == b""
        assert await server.raw(b"POST /v1/chat/completions HTTP/1.1\r\nHost: local") == b""
        slow = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{"
        assert (await server.raw(slow.encode())).startswith(b"HTTP/1.1 408")


async def test_client_that_does_not_read_is_dropped() -> None:
    engine = Endless("x" * 100_000)
    async with running_server(engine, MODEL, send_timeout_s=0.2) as server:
        writer = await begin(server, b'{"stream": true, "messages": [{"role": "user", "content": "x"}]}')
        await wait_until(lambda: engine.running == 1)
        await wait_until(lambda: engine.running == 0, what="the request is cancelled")
        writer.close()


async def test_full_queue_is_refused_until_there_is_room() -> None:
    engine = Endless()
    async with running_server(engine, MODEL, max_requests=1) as server:
        writer = await begin(server, b'{"messages": [{"role": "user", "content": "x"}]}')
        await wait_until(lambda: engine.running == 1)
        refused = await server.client.post(CHAT, json=ask())
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert (await server.client.get("/health")).status_code == 200
        writer.close()
        await wait_until(lambda: engine.running == 0, what="the request is cancelled")
        await wait_until(lambda: server.api.running == 0)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["steps=1000", "tokens=10000 delay=0.02"])
async def test_disconnect_ends_the_request(tmp_path: Path, stream: bool, prompt: str) -> None:
    async with (
        fake_engine(Paths.below(tmp_path)) as engine,
        running_server(engine, fake_model()) as server,
    ):
        writer = await begin(server, json.dumps(ask(prompt, stream=stream)).encode())
        await wait_until(
            lambda: not engine.at_rest and engine.loaded() and engine.loaded()[0].state == "busy"
        )
        writer.close()
        await wait_until(lambda: engine.at_rest, what="the request is cancelled")


async def test_stopping_ends_running_requests() -> None:
    engine = Endless("x")
    async with running_server(engine, MODEL) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        body = b'{"stream": true, "messages": [{"role": "user", "content": "x"}]}'
        writer.write(
            f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        await reader.readuntil(b"data: ")
    assert engine.running == 0
    await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def test_address_in_use_is_reported() -> None:
    async with running_server() as server:
        with pytest.raises(SpnlError, match="Cannot listen"):
            await HttpServer(server.api, ServerOptions(port=server.port)).start()


async def test_keys_are_in_no_log(tmp_path: Path) -> None:
    root = logging.getLogger("spnl_tui")
    before = root.handlers, root.level
    start_log(tmp_path / "log")
    try:
        async with running_server(key=KEY) as server:
            await server.post(CHAT, ask("private words"), Authorization=f"Bearer {KEY}")
            await server.post(CHAT, ask(), Authorization=f"Bearer {KEY}-wrong")
            await server.client.get(f"/v1/models?api_key={KEY}")
            await server.client.get(f"/{KEY}")
            await server.raw(f"GARBAGE {KEY}\r\n\r\n".encode())
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers, root.level = before
    log = (tmp_path / "log").read_text()
    assert "POST /v1/chat/completions 200" in log
    assert KEY not in log
    assert "private" not in log
