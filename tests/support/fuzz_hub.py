"""A hub on 127.0.0.1 whose answers are mutated: JSON, headers, status, framing and file contents.

    with FuzzHub(model) as hub:
        hub.begin(seed)          # the answers from here on follow from this seed
        Catalog(HubAccess(hub.endpoint, False))

About half of all answers are left as they are, so that requests get far enough to meet the next mutation.
"""

from __future__ import annotations

import hashlib
import json
import operator
import random
import re
import socketserver
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

REPO, FILE = "acme/Fuzzed-GGUF", "fuzzed-Q8_0.gguf"
COMMIT = "ab12" * 10
VALUES: list[Any] = [
    None, True, -1, 0, 10**30, 1e308, "", "x" * 5000, "../../etc", "\ud800", "\x1b[31m", "\u202e", "a/b",
    [], {}, [[]],
    {"a": None}, "2025-99-99T00:00:00.000Z", "hf_" + "x" * 30, COMMIT[:39], "NaN", ["gguf"], {"sha256": 5,
    "size": "x"},
]  # fmt: skip
BODIES = [
    b"", b"null", b"[" * 50_000, b"{" * 10_000, b"<!DOCTYPE html><p>", b"\xff\xfe",
    b'{"id": ' + b"9" * 5000 + b"}",
    b"GGUF" + b"\xff" * 200, b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, b"GGUF\x03\x00\x00\x00" + bytes(16),
    b"\x00" * 4096,
]  # fmt: skip
HEADERS = [
    ("Location", "/loop"), ("Location", "http://[::1"), ("Location", "file:///x"), ("Location", "//"),
    ("Location", "\xff"),
    ("Content-Encoding", "gzip"), ("Content-Encoding", "zstd"), ("Content-Encoding", "deflate"),
    ("Content-Type", "text/html"), ("Content-Type", "application/json; charset=utf-99"), ("Retry-After",
    "-1"),
    ("Retry-After", "soon"), ("Retry-After", "\xb2"), ("Retry-After", "9" * 400),
    ("RateLimit", '"api";r=0;t=99'),
    ("Link", '<http://[::1>; rel="next"'), ("Link", '</api/models?x>; rel="next"'), ("Link", "<>;;;"),
    ("Content-Range", "bytes 0-0/1"), ("Content-Range", "bytes */*"), ("Content-Range", "x"),
    ("Set-Cookie", "a=b; expires=never"), ("X-Error-Code", "GatedRepo"), ("X-Error-Code", "RepoNotFound"),
    ("X-Error-Message", "\x1b[2Jhf_" + "y" * 20), ("Content-Length", "5"), ("Content-Length", "-5"),
    ("Content-Length", "999999"), ("Transfer-Encoding", "chunked"), ("X-Long", "z" * 100_000),
]  # fmt: skip
STATUSES = [
    200,
    206,
    204,
    301,
    302,
    307,
    308,
    400,
    401,
    403,
    404,
    410,
    416,
    418,
    429,
    451,
    500,
    502,
    503,
    599,
    799,
]


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64
    hub: FuzzHub

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is a matter of course."""


class _Handler(socketserver.StreamRequestHandler):
    timeout = 5

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (line := self.rfile.readline(65_536)):
            head += line
        if head:
            self.wfile.write(self.server.hub.answer(head.decode("latin-1")))  # type: ignore[attr-defined]


class FuzzHub:
    """See the module."""

    def __init__(self, model: Path) -> None:
        self._content = model.read_bytes()
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def begin(self, seed: int) -> None:
        """Let the answers from here on follow from this seed."""
        with self._lock:
            self._random = random.Random(seed)

    def answer(self, head: str) -> bytes:
        """Return the whole response to a request, head and body."""
        path = head.split(" ", 2)[1]
        with self._lock:
            seed = self._random.getrandbits(32)
        chance = random.Random(seed)
        status, headers, body = self._sound(path, head)
        if chance.random() < 0.5:
            return _response(status, headers, body)
        for _ in range(chance.randint(1, 3)):
            kind = chance.randrange(5)
            if kind == 0 and body[:1] in (b"{", b"["):
                body = _mutated_json(body, chance)
            elif kind == 1:
                body = _mutated_bytes(body, chance)
            elif kind == 2:
                body = chance.choice(BODIES)
            elif kind == 3:
                status = chance.choice(STATUSES)
            else:
                headers = [*headers, chance.choice(HEADERS)]
        whole = _response(status, headers, body)
        return whole[: chance.randrange(len(whole))] if chance.random() < 0.1 else whole

    def _sound(self, path: str, head: str) -> tuple[int, list[tuple[str, str]], bytes]:
        file = {
            "rfilename": FILE,
            "size": len(self._content),
            "blobId": "c" * 40,
            "lfs": {"sha256": hashlib.sha256(self._content).hexdigest(), "size": len(self._content)},
        }
        info = {
            "id": REPO, "sha": COMMIT, "downloads": 5, "likes": 1, "tags": ["gguf", "license:mit"],
            "gated": False,
            "lastModified": "2025-06-01T00:00:00.000Z", "pipeline_tag": "text-generation", "private": False,
            "gguf": {"total": 10**6, "architecture": "llama", "context_length": 2048, "chat_template": "x"},
            "cardData": {"license": "mit"}, "siblings": [file, {"rfilename": "config.json", "size": 2,
            "blobId": "d" * 40}],
        }  # fmt: skip
        if path.startswith("/api/models/"):
            return 200, [], json.dumps(info).encode()
        if path.startswith("/api/models"):
            return 200, [], json.dumps([info]).encode()
        if "/resolve/" in path:
            return 302, [("Location", "/cdn/file")], b""
        start, stop = 0, len(self._content)
        if asked := re.search(r"(?im)^range: bytes=(\d+)-(\d*)", head):
            start, stop = int(asked[1]), min(stop, int(asked[2]) + 1) if asked[2] else stop
            span = f"bytes {start}-{stop - 1}/{len(self._content)}"
            return 206, [("Content-Range", span)], self._content[start:stop]
        return 200, [], self._content

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _response(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    if not any(name == "Content-Length" for name, _ in headers):
        headers = [*headers, ("Content-Length", str(len(body)))]
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


def _mutated_json(body: bytes, chance: random.Random) -> bytes:
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return body
    places: list[Callable[[Any], None]] = []

    def walk(node: Any) -> None:
        for key in (
            list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        ):
            places.append(partial(operator.setitem, node, key))
            walk(node[key])

    walk(tree)
    for place in chance.sample(places, min(len(places), chance.randint(1, 3))):
        place(chance.choice(VALUES))
    return json.dumps(tree).encode()


def _mutated_bytes(body: bytes, chance: random.Random) -> bytes:
    data = bytearray(body)
    for _ in range(chance.randint(1, 8)):
        if not data:
            break
        at = min(chance.randrange(len(data)), chance.randrange(4000))
        match chance.randrange(3):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 50)]
            case _:
                data[at:at] = chance.randbytes(chance.randint(1, 50))
    return bytes(data)
