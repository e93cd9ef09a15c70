"""The two HTTP servers of the loopback hub: the hub itself and its CDN."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from tests.support.hub_content import Content, Repository
from tests.support.hub_faults import Fault, Where

if TYPE_CHECKING:
    from tests.support.hub import LoggedRequest, LoopbackHub

_RESOLVE = re.compile(r"/(?P<id>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
_RESOLVE_CACHE = re.compile(r"/api/resolve-cache/models/(?P<id>[^/]+/[^/]+)/(?P<revision>[^/]+)/(?P<path>.+)")
_INFO = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+?)(?:/revision/(?P<revision>[^/]+))?")
_TREE = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)(?:/(?P<path>.*))?")
_REFS = re.compile(r"/api/models/(?P<id>[^/]+/[^/]+)/refs")

_BASIC = ("likes", "trendingScore", "downloads", "tags", "pipeline_tag", "createdAt")
_SORTS = {"downloads", "likes", "lastModified", "trendingScore", "createdAt"}


class _Handler(BaseHTTPRequestHandler):
    """Common parts of both servers: the log, the faults, and sending bodies."""

    protocol_version = "HTTP/1.1"
    where: Where
    logged: LoggedRequest

    @property
    def hub(self) -> LoopbackHub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: the log is `hub.requests`."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def name(self) -> str:
        """Return the path under which faults and the log know this request."""
        return unquote(urlsplit(self.path).path)

    def answer(self) -> None:
        raise NotImplementedError

    def _serve(self) -> None:
        from tests.support.hub import LoggedRequest

        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        self.logged = LoggedRequest(
            where=self.where,
            method=self.command,
            path=self.name(),
            query=urlsplit(self.path).query,
            range=self.headers.get("Range"),
            token=token if scheme == "Bearer" else None,
            user_agent=self.headers.get("User-Agent", ""),
        )
        self.hub.log(self.logged)
        self.fault = self.hub.faults.take(self.where, self.command, self.logged.path)
        try:
            self._answer_or_fail(self.fault)
        finally:
            self.logged.finished = True

    def _answer_or_fail(self, fault: Fault | None) -> None:
        if fault and fault.kind == "hang_before_headers":
            self.hang()
        elif fault and fault.kind == "status":
            headers = {"X-Error-Code": fault.error_code} if fault.error_code else {}
            headers |= fault.headers
            if fault.retry_after is not None:
                headers["Retry-After"] = fault.retry_after
            self.reply(fault.status, fault.body, headers)
        else:
            self.answer()

    # ── sending ──────────────────────────────────────────────────────────────────────────────────

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send a whole small response."""
        self.logged.status = status
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.logged.sent += len(body)

    def reply_json(self, data: object, headers: dict[str, str] | None = None) -> None:
        self.reply(200, json.dumps(data).encode(), {"Content-Type": "application/json", **(headers or {})})

    def reply_content(self, content: Content, headers: dict[str, str]) -> None:
        """Send a file or the requested range of it, with the fault of this request."""
        fault = self.fault
        start, stop = 0, content.size
        status = 200
        if self.logged.range and not (fault and fault.kind == "ignore_range"):
            first, _, last = self.logged.range.removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last) + 1, content.size) if last else content.size
            status = 206
            if start >= content.size:
                self.reply(416, b"", {"Content-Range": f"bytes */{content.size}"})
                return
        if fault and fault.kind == "short":
            stop = min(start + fault.after, stop)
        self.logged.status = status
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{content.size}")
        for key, value in {"Accept-Ranges": "bytes", "Content-Length": str(stop - start), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(content, start, stop, fault)

    def _send_body(self, content: Content, start: int, stop: int, fault: Fault | None) -> None:
        cut = fault is not None and fault.kind in ("hang_in_body", "fin_in_body", "rst_in_body")
        end = min(stop, start + fault.after) if fault and cut else stop
        begun = time.monotonic()
        for block in content.blocks(start, end, self.hub.chunk):
            if fault and fault.kind == "wrong_content":
                block = _spoil(block, fault.after - start - self.logged.sent)
            self.wfile.write(block)
            self.logged.sent += len(block)
            if fault and fault.kind == "slow":
                ahead = self.logged.sent / fault.rate - (time.monotonic() - begun)
                if ahead > 0 and self.hub.closing.wait(ahead):
                    break
        if not (fault and cut):
            return
        if fault.kind == "hang_in_body":
            self.hang()
        elif fault.kind == "rst_in_body":
            # A linger time of zero makes close() send RST.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.drop()

    def hang(self) -> None:
        """Send nothing until the client disconnects or the hub stops."""
        self.connection.settimeout(0.1)
        while not self.hub.closing.is_set():
            try:
                if not self.connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.drop()

    def drop(self) -> None:
        """Close the connection without a response."""
        self.close_connection = True
        self.wfile.flush = lambda: None  # type: ignore[method-assign]
        self.rfile.close()
        self.wfile.close()
        self.connection.close()


def _spoil(block: bytes, position: int) -> bytes:
    if not 0 <= position < len(block):
        return block
    return block[:position] + bytes([block[position] ^ 0xFF]) + block[position + 1 :]


class CdnHandler(_Handler):
    """Serves contents by link."""

    where: Where = "cdn"

    def name(self) -> str:
        found = self.hub.linked(self._key())
        return found[1] if found else self._key()

    def _key(self) -> str:
        return urlsplit(self.path).path.strip("/")

    def answer(self) -> None:
        found = self.hub.linked(self._key())
        if found is None:
            body = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
            self.reply(403, body, {"Content-Type": "application/xml"})
        else:
            self.reply_content(found[0], {"ETag": f'"{found[0].sha256}"'})


class HubHandler(_Handler):
    """The API and the `resolve` links."""

    where: Where = "hub"

    def answer(self) -> None:
        if self.logged.token is not None and self.logged.token not in self.hub.tokens:
            self.refuse(401, "", "Invalid credentials in Authorization header")
            return
        path = urlsplit(self.path).path
        query = parse_qs(urlsplit(self.path).query)
        if path == "/api/models":
            self._list(query)
        elif path == "/api/whoami-v2":
            self._whoami()
        elif match := _RESOLVE_CACHE.fullmatch(path) or _RESOLVE.fullmatch(path):
            self._resolve(match)
        elif match := _TREE.fullmatch(path):
            self._tree(match, query)
        elif match := _REFS.fullmatch(path):
            self._refs(match)
        elif match := _INFO.fullmatch(path):
            self._info(match, query)
        else:
            self.refuse(404, "EntryNotFound", "Not found")

    def refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        """Send an error in the form of the hub: two headers hold the reason."""
        errors = {"X-Error-Code": code, "X-Error-Message": message} if code else {"X-Error-Message": message}
        self.reply(status, json.dumps({"error": message}).encode(), {**errors, **(headers or {})})

    def _find(self, match: re.Match[str], *, contents: bool) -> Repository | None:
        """Return the repository in the path, or None after a redirect or an error was sent."""
        repository = self.hub.find(match["id"])
        granted = repository is not None and self.logged.token in repository.granted
        if repository is None or (repository.private and not granted):
            # The hub does not reveal to strangers whether a private repository exists.
            self.refuse(404 if self.logged.token else 401, "RepoNotFound", "Repository not found")
            return None
        if repository.id != match["id"]:
            self.reply(307, b"", {"Location": self.path.replace(match["id"], repository.id, 1)})
            return None
        if contents and repository.gated and not granted:
            status = 403 if self.logged.token else 401
            self.refuse(status, "GatedRepo", f"Access to model {repository.id} is restricted.")
            return None
        return repository

    def _commit(self, repository: Repository, revision: str | None) -> str | None:
        commit = repository.resolve(unquote(revision or "main"))
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    # ── files ────────────────────────────────────────────────────────────────────────────────────

    def _resolve(self, match: re.Match[str]) -> None:
        repository = self._find(match, contents=True)
        commit = repository and self._commit(repository, match["revision"])
        if not repository or not commit:
            return
        path = unquote(match["path"])
        file = repository.commits[commit].get(path)
        headers = {"X-Repo-Commit": commit}
        if file is None:
            self.refuse(404, "EntryNotFound", "Entry not found", headers)
            return
        headers["ETag"] = f'"{file.etag}"'
        if not file.lfs and match.re is _RESOLVE_CACHE:
            self.reply_content(file.content, headers)
            return
        headers |= {"X-Linked-Size": str(file.content.size), "X-Linked-ETag": f'"{file.etag}"'}
        if file.lfs:
            location = self.hub.link(file.content, path)
        else:
            location = f"/api/resolve-cache/models/{repository.id}/{commit}/{quote(path)}"
        self.reply(302 if file.lfs else 307, b"Redirecting", {**headers, "Location": location})

    def _tree(self, match: re.Match[str], query: dict[str, list[str]]) -> None:
        repository = self._find(match, contents=False)
        commit = repository and self._commit(repository, match["revision"])
        if not repository or not commit:
            return
        prefix = unquote(match["path"] or "").strip("/")
        prefix = prefix + "/" if prefix else ""
        deep = query.get("recursive", ["false"])[0].lower() == "true"
        entries: dict[str, dict[str, Any]] = {}
        for path, file in repository.commits[commit].items():
            if not path.startswith(prefix):
                continue
            folders = path[len(prefix) :].split("/")[:-1]
            for depth in range(1, len(folders) + 1 if deep else min(len(folders), 1) + 1):
                folder = prefix + "/".join(folders[:depth])
                entries[folder] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": folder}
            if deep or not folders:
                entry: dict[str, Any] = {
                    "type": "file",
                    "oid": file.content.git_sha1,
                    "size": file.content.size,
                }
                if file.lfs:
                    entry["lfs"] = {"oid": file.etag, "size": file.content.size, "pointerSize": 134}
                entries[path] = {**entry, "path": path}
        if prefix and not entries:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        self._page(list(entries.values()), query, 1000)

    def _refs(self, match: re.Match[str]) -> None:
        if repository := self._find(match, contents=False):
            branches = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                for name, commit in repository.refs.items()
            ]
            self.reply_json({"branches": branches, "tags": [], "converts": []})

    # ── metadata ─────────────────────────────────────────────────────────────────────────────────

    def _whoami(self) -> None:
        if self.logged.token is None:
            self.refuse(401, "", "Invalid username or password.")
        else:
            self.reply_json({"type": "user", "name": self.hub.tokens[self.logged.token], "orgs": []})

    def _info(self, match: re.Match[str], query: dict[str, list[str]]) -> None:
        repository = self._find(match, contents=False)
        commit = repository and self._commit(repository, match["revision"])
        if not repository or not commit:
            return
        if "expand" in query:
            self.reply_json(_expanded(repository, commit, query["expand"]))
            return
        facts = _facts(repository, commit)
        if query.get("blobs", ["false"])[0].lower() == "true":
            facts["siblings"] = [
                {
                    "rfilename": path,
                    "size": file.content.size,
                    "blobId": file.content.git_sha1,
                    **(
                        {"lfs": {"sha256": file.etag, "size": file.content.size, "pointerSize": 134}}
                        if file.lfs
                        else {}
                    ),
                }
                for path, file in repository.commits[commit].items()
            ]
        self.reply_json(facts)

    def _list(self, query: dict[str, list[str]]) -> None:
        words = query.get("search", [""])[0].lower().split()
        filters = set(query.get("filter", []))
        author = query.get("author", [""])[0].lower()
        found = [
            repository
            for repository in list(self.hub.repositories.values())
            if all(word in repository.id.lower() for word in words)
            and filters <= {*repository.info["tags"], repository.info["pipeline_tag"]}
            and (not author or repository.id.lower().startswith(author + "/"))
            and (not repository.private or self.logged.token in repository.granted)
        ]
        sort = query.get("sort", ["trendingScore"])[0]
        if sort not in _SORTS:
            self.refuse(400, "", f"Invalid sort: {sort}")
            return
        found.sort(key=lambda r: r.info[sort], reverse=True)
        expand = query.get("expand")
        items = [
            _expanded(r, r.head, expand) if expand else {"id": r.id, **{k: r.info[k] for k in _BASIC}}
            for r in found
        ]
        if "true" in (value.lower() for value in query.get("full", [])):
            items = [{k: v for k, v in _facts(r, r.head).items() if k != "cardData"} for r in found]
        self._page(items, query, 1000)

    def _page(self, items: list[Any], query: dict[str, list[str]], most: int) -> None:
        """Send one page of the items, with a Link header to the next."""
        limit = min(int(query.get("limit", [str(most)])[0]), most)
        start = int(query.get("cursor", ["0"])[0])
        headers = {}
        if start + limit < len(items):
            again = urlencode({**query, "cursor": [str(start + limit)]}, doseq=True)
            headers["Link"] = f'<{self.hub.endpoint}{urlsplit(self.path).path}?{again}>; rel="next"'
        self.reply_json(items[start : start + limit], headers)


def _facts(repository: Repository, commit: str) -> dict[str, Any]:
    """Return all properties of a repository at a commit."""
    return {
        "_id": commit[:24],
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.split("/")[0],
        "sha": commit,
        "private": repository.private,
        "gated": "manual" if repository.gated else False,
        "disabled": False,
        **repository.info,
        "siblings": [{"rfilename": path} for path in repository.commits[commit]],
    }


def _expanded(repository: Repository, commit: str, properties: list[str]) -> dict[str, Any]:
    """Return only the requested properties, as with `expand`."""
    facts = _facts(repository, commit)
    return {"_id": facts["_id"], "id": facts["id"]} | {k: facts[k] for k in properties if k in facts}
