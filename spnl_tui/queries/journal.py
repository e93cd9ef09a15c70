"""The journal of a map: which lines have been answered, so that an interrupted map goes on.

A JSON-lines file. The first line says which map it belongs to, every other is one reply:

    {"journal": "spnl-chat map", "version": 1, "key": "<SHA-256 of template, model and sampling>"}
    {"line": "<SHA-256 of the input line>", "reply": {"text": …, "finish_reason": …, …}}

Replies are found by what their line says, not by where it stands: lines may be added or moved in
between. Equal lines have a reply each, used in their order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from spnl_tui.engine.mistralrs.wire import Timing, Usage
from spnl_tui.errors import QueryError
from spnl_tui.models.request import Sampling
from spnl_tui.queries.events import NodeFinished

_HEADER = {"journal": "spnl-chat map", "version": 1}


def map_key(template: str, model: str, sampling: Sampling) -> str:
    """Names a map: equal for equal template, model and sampling, whatever the lines are."""
    body = json.dumps([template, model, dataclasses.asdict(sampling)], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()


class Journal:
    """An open journal. Make it with `open_journal`; its methods block for the time of one small write."""

    def __init__(self, path: Path, stream: BinaryIO, done: dict[str, deque[NodeFinished]]) -> None:
        self._path = path
        self._stream = stream
        self._done = done

    def take(self, line: str) -> NodeFinished | None:
        """The reply to an equal line of an earlier run, if there is one that was not taken yet."""
        waiting = self._done.get(_hash(line))
        return waiting.popleft() if waiting else None

    def add(self, line: str, reply: NodeFinished) -> None:
        """Keep a reply. It is with the operating system when this returns: it outlives a killed program."""
        body = {"line": _hash(line), "reply": dataclasses.asdict(reply)}
        self._stream.write(json.dumps(body).encode() + b"\n")
        self._stream.flush()

    def remove(self) -> None:
        """Delete the file: the map is complete."""
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def open_journal(path: Path, key: str) -> Iterator[Journal]:
    """Open the journal of the map `key`, or begin it. Only one program at a time can.

    Raises:
        QueryError: the file belongs to another map, is in use, damaged, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+b")
    except OSError as error:
        raise QueryError(
            "The journal cannot be written", f"{path}: {error.strerror}.", "Name another file for it."
        ) from error
    with stream:
        _lock(stream, path)
        stream.seek(0)
        content = stream.read()
        # A program that was killed while it wrote leaves half a line.
        whole = content[: content.rfind(b"\n") + 1]
        stream.truncate(len(whole))
        lines = whole.splitlines()
        if lines:
            _check_header(lines[0], key, path)
        else:
            stream.write(json.dumps(_HEADER | {"key": key}).encode() + b"\n")
            stream.flush()
        done: dict[str, deque[NodeFinished]] = defaultdict(deque)
        for number, line in enumerate(lines[1:], 2):
            try:
                body = json.loads(line)
                done[body["line"]].append(_reply(body["reply"]))
            except (ValueError, KeyError, TypeError) as error:
                raise QueryError(
                    "The journal is damaged",
                    f"{path}, line {number}: {error}.",
                    "Delete the line to have it computed again, or the file to begin anew.",
                ) from error
        yield Journal(path, stream, done)


def _check_header(line: bytes, key: str, path: Path) -> None:
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if header == _HEADER | {"key": key}:
        return
    ours = isinstance(header, dict) and header.get("journal") == _HEADER["journal"]
    raise QueryError(
        "The journal belongs to something else",
        f"{path} was begun with another template, model or sampling." if ours else f"{path} is no journal.",
        "Name another file for this map, or delete that one.",
    )


def _reply(body: dict[str, Any]) -> NodeFinished:
    usage, timing = Usage(**body.pop("usage")), Timing(**body.pop("timing"))
    path = tuple(body.pop("path"))
    return NodeFinished(path=path, usage=usage, timing=timing, **body)


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode(errors="surrogatepass")).hexdigest()


def _lock(stream: BinaryIO, path: Path) -> None:
    if os.name != "posix":  # the platforms that we support are; elsewhere two maps must not share a journal
        return
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise QueryError(
            "The journal is in use",
            f"Another program runs the map of {path}.",
            "Wait for it, or name another file for this map.",
        ) from error
