"""A Hugging Face hub on 127.0.0.1 for the unmodified huggingface_hub client, and its CDN.

    with LoopbackHub() as hub:
        hub.add_repo("acme/Tiny-GGUF", {"tiny-Q4_K_M.gguf": b"GGUF…"}, downloads=12, gguf={"total": 5})
        HfApi(endpoint=hub.endpoint).model_info("acme/Tiny-GGUF")
        hub.requests            # all requests, in order
        hub.faults.add("rst_in_body", path="tiny", after=1000)

Tests use the fixture `hub`. The CDN is a separate server on another port, hence another origin: as with the
real hub, huggingface_hub does not send it the token. `python -m tests.support.hub DIRECTORY [RATE]` serves a
directory of repositories (org/name/files) until killed, each file at RATE bytes per second, and prints its
endpoint first.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.hub_content import Content, FileLike, Repository
from tests.support.hub_faults import Faults, Where
from tests.support.hub_http import CdnHandler, HubHandler


@dataclass
class LoggedRequest:
    """One request and its outcome. `sent` counts the body's bytes and grows while the body is sent."""

    where: Where
    method: str
    path: str
    """The path without its query; on the CDN, the name of the linked file."""
    query: str
    range: str | None
    token: str | None
    user_agent: str
    status: int = 0
    sent: int = 0
    finished: bool = False

    @property
    def start(self) -> int:
        """The first requested byte."""
        return int(self.range.removeprefix("bytes=").split("-")[0]) if self.range else 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, handler: type, hub: LoopbackHub) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = hub

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):  # clients may disconnect
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class LoopbackHub:
    """See the module. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults = Faults()
        self.requests: list[LoggedRequest] = []
        self.tokens: dict[str, str] = {"hf_alice": "alice"}
        """Valid tokens and their owners. Any other token gets a 401."""
        self.chunk = 1 << 18
        """Bytes of a body sent at a time."""
        self.closing = threading.Event()
        self._links: dict[str, tuple[Content, str]] = {}
        self._link_count = 0
        self._lock = threading.Lock()
        self._servers = (_Server(HubHandler, self), _Server(CdnHandler, self))
        self.endpoint, self.cdn = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    # ── what tests arrange ───────────────────────────────────────────────────────────────────────

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, FileLike] | None = None,
        *,
        gated: bool = False,
        private: bool = False,
        granted: Sequence[str] = (),
        downloads: int = 0,
        likes: int = 0,
        trending: int = 0,
        tags: Sequence[str] = (),
        gguf: Mapping[str, Any] | None = None,
        pipeline_tag: str = "text-generation",
        license: str = "apache-2.0",
        created_at: str = "2025-01-01T00:00:00.000Z",
        last_modified: str = "2025-06-01T00:00:00.000Z",
        **info: Any,
    ) -> Repository:
        """A model repository with one commit on main.

        `granted` are the tokens that may read it although it is gated or private. `gguf` is what the hub
        read from its GGUF header: total, architecture, context_length, chat_template, …; other keywords
        (config, cardData, safetensors, …) appear in the API unchanged.
        """
        repository = Repository(repo_id, gated=gated, private=private, granted=set(granted))
        all_tags = [*tags, f"license:{license}"]
        if any(path.endswith(".gguf") for path in files or ()):
            all_tags.insert(0, "gguf")
        repository.info = {
            "downloads": downloads,
            "likes": likes,
            "trendingScore": trending,
            "tags": all_tags,
            "pipeline_tag": pipeline_tag,
            "createdAt": created_at,
            "lastModified": last_modified,
            "cardData": {"license": license},
            **({"gguf": dict(gguf)} if gguf is not None else {}),
            **info,
        }
        repository.commit(files or {})
        with self._lock:
            self.repositories[repo_id] = repository
        return repository

    def expire_links(self) -> None:
        """Reject all CDN links issued so far."""
        with self._lock:
            self._links.clear()

    def downloads(self, path: str = "") -> list[LoggedRequest]:
        """Return the GET requests for file contents whose path contains `path`, on the hub and the CDN."""
        with self._lock:
            return [
                r
                for r in self.requests
                if r.method == "GET" and path in r.path and (r.where == "cdn" or "/resolve" in r.path)
            ]

    def sent(self, path: str = "") -> int:
        """Return the number of file content bytes sent."""
        return sum(request.sent for request in self.downloads(path) if request.status in (200, 206))

    # ── what the servers need ────────────────────────────────────────────────────────────────────

    def log(self, request: LoggedRequest) -> None:
        """Record a request."""
        with self._lock:
            self.requests.append(request)

    def link(self, content: Content, name: str) -> str:
        """Return a CDN link to the content, valid until `expire_links`."""
        with self._lock:
            self._link_count += 1
            key = f"{content.sha256}-{self._link_count}"
            self._links[key] = (content, name)
        return f"{self.cdn}/{key}?Expires=4102444800&Signature=secret{self._link_count}"

    def linked(self, key: str) -> tuple[Content, str] | None:
        """Return content and file name of a valid link."""
        with self._lock:
            return self._links.get(key)

    def find(self, repo_id: str) -> Repository | None:
        """Return the repository of this name, ignoring case."""
        with self._lock:
            if found := self.repositories.get(repo_id):
                return found
            return next((r for r in self.repositories.values() if r.id.lower() == repo_id.lower()), None)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        """Stop both servers and release requests that hang in a fault."""
        self.closing.set()
        ending = [threading.Thread(target=server.shutdown) for server in self._servers]
        for thread in ending:
            thread.start()
        for server in self._servers:
            with suppress(OSError):  # wakes the server, which otherwise looks only every 50 ms
                socket.create_connection(("127.0.0.1", server.server_port)).close()
        for thread, server in zip(ending, self._servers, strict=True):
            thread.join()
            server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _serve(directory: Path, rate: int | None) -> None:
    with LoopbackHub() as hub:
        for repository in sorted(directory.glob("*/*")):
            files = {str(f.relative_to(repository)): f for f in repository.rglob("*") if f.is_file()}
            hub.add_repo(str(repository.relative_to(directory)), files)
        if rate:
            hub.faults.add("slow", rate=rate, times=None)
        print(hub.endpoint, flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
