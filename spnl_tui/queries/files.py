"""Text from disk for a query's `(file …)`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from spnl_tui.queries.source import QuerySyntaxError
from spnl_tui.queries.tree import File, Message, Query, transform, walk

MAX_FILE_BYTES = 4_000_000
"""More text than the context of any model that runs here."""


async def read_files(query: Query, directory: Path) -> Query:
    """The query with the text of each file in its place. Each file is read once.

    Raises:
        QuerySyntaxError: a file cannot be read, is too large, or is not UTF-8; says where the query names it.
    """
    files: dict[str, File] = {}
    for _, node in walk(query):
        if isinstance(node, Message) and isinstance(node.content, File):
            files.setdefault(node.content.path, node.content)
    if not files:
        return query
    texts = {path: await asyncio.to_thread(_read, file, directory) for path, file in files.items()}

    def with_text(node: Query) -> Query:
        if isinstance(node, Message) and isinstance(node.content, File):
            return replace(node, content=texts[node.content.path])
        return node

    return transform(query, with_text)


def _read(file: File, directory: Path) -> str:
    path = directory / file.path
    try:
        path = directory / Path(file.path).expanduser()
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, RuntimeError) as error:  # RuntimeError: the home of a user that there is not
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise QuerySyntaxError(
            f"{path} cannot be read: {reason}.", file.place, f"A relative path starts from {directory}."
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise QuerySyntaxError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes.", file.place, "Cut it up.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise QuerySyntaxError(
            f"{path} is not text in UTF-8: byte {error.start} is not.", file.place
        ) from error
