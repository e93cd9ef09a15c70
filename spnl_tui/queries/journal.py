"""The journal of a map: the replies so far, so that an interrupted map can resume.

A JSON-lines file. The first line names its map, and each other line is one reply:

    {"journal": "spnl-chat map", "version": 1, "key": "<SHA-256 of template, model and sampling>"}
    {"line": "<SHA-256 of the input line>", "reply": {"text": …, "finish_reason": …, …}}

Replies are found by the text of their line and not by its number, so lines may be added or moved between two
runs. Equal lines have a reply each, used in order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections import defaultdict, deque
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from spnl_tui.engine.backend import Timing, Usage
from spnl_tui.errors import QueryError, cause_of
from spnl_tui.models.request import Sampling
from spnl_tui.queries.events import NodeFinished

_HEADER = {"journal": "spnl-chat map", "version": 1}


def map_key(template: str, model: str, sampling: Sampling) -> str:
    """Return the name of a map: equal for equal template, model and sampling, whatever the lines are."""
    body = json.dumps([template, model, dataclasses.asdict(sampling)], sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()


class JournalWriteError(QueryError):
    """The journal cannot be written: a full disk, or a directory that is not the user's."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            "Replies are not kept for a resumed run",
            f"{path}: {cause_of(error)}.",
            "The map continues. If it is interrupted, the next run asks every line again.",
        )


class Journal:
    """An open journal. Create it with `open_journal`; its methods block for the time of one small write."""

    def __init__(self, path: Path, stream: FileIO, done: dict[str, deque[NodeFinished]]) -> None:
        self._path = path
        self._stream = stream
        self._done = done

    def take(self, line: str) -> NodeFinished | None:
        """Return the reply to an equal line of an earlier run, each of them once; None if there is none."""
        waiting = self._done.get(_hash(line))
        return waiting.popleft() if waiting else None

    def add(self, line: str, reply: NodeFinished) -> None:
        """Keep a reply. When this returns, the operating system has it, so it survives a killed program.

        Raises:
            JournalWriteError: it cannot be written. Call this no more then: half a line may be in the file.
        """
        _write(self._stream, {"line": _hash(line), "reply": dataclasses.asdict(reply)}, self._path)

    def remove(self) -> None:
        """Delete the file: the map is complete."""
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def open_journal(path: Path, key: str) -> Iterator[Journal]:
    """Open the journal of the map `key`, or start it. Only one program at a time can.

    Raises:
        JournalWriteError: the file cannot be written.
        QueryError: the file belongs to another map, is in use, or is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: closing a buffered file would report a full disk once more.
        stream = path.open("a+b", buffering=0)
    except OSError as error:
        raise JournalWriteError(path, error) from error
    with stream:
        _lock(stream)
        stream.seek(0)
        content = stream.read()
        # A program that was killed during a write leaves half a line.
        whole = content[: content.rfind(b"\n") + 1]
        stream.truncate(len(whole))
        lines = whole.splitlines()
        if lines:
            _check_header(lines[0], key, path)
        else:
            _write(stream, _HEADER | {"key": key}, path)
        done: dict[str, deque[NodeFinished]] = defaultdict(deque)
        for number, line in enumerate(lines[1:], 2):
            try:
                body = json.loads(line)
                done[body["line"]].append(_reply(body["reply"]))
            except (ValueError, KeyError, TypeError) as error:
                raise QueryError(
                    "The journal is damaged",
                    f"{path}, line {number}: {error}.",
                    "Delete that line to ask it again, or delete the file to start over.",
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
        f"{path} belongs to another template, model or sampling." if ours else f"{path} is not a journal.",
        "Move or delete that file.",
    )


def _reply(body: dict[str, Any]) -> NodeFinished:
    usage, timing = Usage(**body.pop("usage")), Timing(**body.pop("timing"))
    path = tuple(body.pop("path"))
    return NodeFinished(path=path, usage=usage, timing=timing, **body)


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode(errors="surrogatepass")).hexdigest()


def _write(stream: FileIO, body: dict[str, Any], path: Path) -> None:
    data = memoryview(json.dumps(body).encode() + b"\n")
    try:
        while data:
            data = data[stream.write(data) :]
    except OSError as error:
        raise JournalWriteError(path, error) from error


def count_replies(path: Path) -> int:
    """Return how many replies the journal at `path` holds; 0 if there is no journal."""
    try:
        return max(0, path.read_bytes().count(b"\n") - 1)
    except OSError:
        return 0


def _lock(stream: FileIO) -> None:
    if os.name != "posix":  # not a supported platform; two maps must not share a journal there
        return
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise QueryError(
            "This map is already running",
            "Another program asks the same template of the same model, with the same sampling.",
            "Wait until it ends, or change the template or the sampling.",
        ) from error
