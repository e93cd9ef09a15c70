"""Reads conversations from files, folders, ZIP files and databases. Blocks, so call it in a thread.

The content decides what a source is, not its name.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeAlias

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange import imports
from spnl_tui.conversations.exchange.items import NO_WORDS, Item, Skipped, read_items
from spnl_tui.conversations.exchange.readers.databases import SQLITE_MAGIC, read_database
from spnl_tui.conversations.exchange.readers.messages import Gathered
from spnl_tui.conversations.exchange.streams import (
    LARGE,
    MAX_BYTES,
    NotJson,
    array_items,
    buffered,
    line_items,
    load,
)
from spnl_tui.errors import StoreError
from spnl_tui.text import first_line
from spnl_tui.text_files import UnreadableFileError, open_file

Progress: TypeAlias = Callable[[int, int], None]
"""Receives the bytes read and the total. An exception that it raises ends the reading."""

_MOST_MEMBERS = 100_000
_FIRST_LINE = 16 * 1024**2
"""The most bytes of a large file's first line, which shows whether each line is JSON of its own."""
_COMPANIONS = frozenset({
    "user.json", "users.json", "message_feedback.json", "shared_conversations.json", "model_comparisons.json",
    "projects.json", "memories.json", "group_chats.json", "shopping.json", "sora.json", "user_settings.json",
    "export_manifest.json", "chat.html", "index.html",
})  # fmt: skip
"""Files in exports besides conversations.json, which are skipped."""
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".md", ".markdown", ".yaml", ".yml", ".db", ".sqlite", ".sqlite3")
"""Suffixes of files to read in folders and ZIP files. Files that the user names are always read."""


def read_source(path: Path, gathered: Gathered, on_read: Progress = lambda done, of: None) -> Iterator[Item]:
    """Yield the conversations at this path, and the skipped items.

    Raises:
        StoreError: the path cannot be read, or has no conversations.
    """
    found = False
    for item in _read(path, gathered, on_read):
        found = found or isinstance(item, Conversation)
        yield item
    if not found:
        raise imports.unknown(f"{path} contains no conversations in a format that spnl-chat can read.")


def _read(path: Path, gathered: Gathered, on_read: Progress) -> Iterator[Item]:
    if path.is_dir():
        yield from _folder(path, gathered, on_read)
        return
    try:
        with open_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            begin = stream.read(len(SQLITE_MAGIC))
            stream.seek(0)
            if begin == SQLITE_MAGIC:
                yield from _database(path, gathered)
            elif begin.startswith(b"PK\x03\x04"):
                yield from _zip(path, gathered, on_read)
            else:
                yield from _stream(stream, size, path.name, gathered, on_read)
    except (UnreadableFileError, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise StoreError("Cannot read the file", f"{path}: {why}.", "Check the path.") from error


def _folder(path: Path, gathered: Gathered, on_read: Progress) -> Iterator[Item]:
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if _is_wanted(name) or name.lower().endswith(".zip"):
                yield from _one_of_many(name, partial(_read, Path(folder, name), gathered, on_read))


def _zip(path: Path, gathered: Gathered, on_read: Progress) -> Iterator[Item]:
    """Read the files in the ZIP file without unpacking them to the disk."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > _MOST_MEMBERS:
                raise StoreError("The file cannot be imported", f"{path.name} has {len(members):,} files.")
            for member in sorted(members, key=lambda each: each.filename):
                name = PurePosixPath(member.filename).name
                if not _is_wanted(name) or name.lower().endswith((".db", ".sqlite", ".sqlite3")):
                    continue

                def read(member: zipfile.ZipInfo = member, name: str = name) -> Iterator[Item]:
                    with archive.open(member) as stream:
                        yield from _stream(stream, member.file_size, name, gathered, on_read)

                yield from _one_of_many(name, read)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise StoreError("The ZIP file cannot be read", f"{path}: {error}.", "Download it again.") from error


def _is_wanted(name: str) -> bool:
    lower = name.lower()
    return lower.endswith(_SUFFIXES) and lower not in _COMPANIONS and not name.startswith(".")


def _one_of_many(name: str, read: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Yield the items of one file among several. An unreadable file is skipped with the reason."""
    try:
        yield from read()
    except StoreError as error:
        yield Skipped(name, error.message.rstrip(".") or error.title)


def _database(path: Path, gathered: Gathered) -> Iterator[Item]:
    for title, conversation in read_database(path, gathered):
        yield conversation or Skipped(first_line(title, 60) or "A conversation", NO_WORDS)


def _stream(stream: IO[bytes], size: int, name: str, gathered: Gathered, on_read: Progress) -> Iterator[Item]:
    data = buffered(stream, lambda done: on_read(done, max(size, done)))
    first = data.peek(4096)[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if size > LARGE and first == b"[":
        if data.peek(3)[:3] == b"\xef\xbb\xbf":
            data.read(3)
        yield from read_items(array_items(data, name), name, gathered)
        return
    begin = b""
    if size > LARGE and first == b"{":
        begin = data.readline(_FIRST_LINE)
        if _is_line_of_json(begin.decode("utf-8-sig", "replace")):
            lines = chain([load(begin.decode("utf-8-sig", "replace"))], line_items(data, name))
            yield from read_items(lines, name, gathered)
            return
    content = begin + data.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise StoreError(
            "The file is too large", f"{name} is a single JSON value of more than {MAX_BYTES:,} bytes."
        )
    yield from _text(content.decode("utf-8-sig", "replace"), name, gathered)


def _text(text: str, name: str, gathered: Gathered) -> Iterator[Item]:
    if text.lstrip()[:1] in ("{", "["):
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and _is_line_of_json(lines[0]):
            yield from read_items((_line(n, line) for n, line in enumerate(lines, 1)), name, gathered)
            return
    found = imports.parse(text, name)
    gathered.images |= found.images
    gathered.left_out.update(found.left_out)
    yield from found.conversations
    yield from found.skipped


def _is_line_of_json(line: str) -> bool:
    try:
        return isinstance(load(line), dict)
    except (ValueError, RecursionError):
        return False


def _line(number: int, line: str) -> Any:
    try:
        return load(line)
    except (ValueError, RecursionError):
        return NotJson(number)
