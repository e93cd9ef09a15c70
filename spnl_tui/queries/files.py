"""Read the files that a query names with `(file …)`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.errors import AttachmentError
from spnl_tui.media.suffixes import DOCUMENT_SUFFIXES, IMAGE_SUFFIXES, TEXT_SUFFIXES
from spnl_tui.models.image_marks import image_mark
from spnl_tui.queries.source import QuerySyntaxError
from spnl_tui.queries.tree import File, Message, Query, transform, walk
from spnl_tui.text_files import UnreadableFileError, read_text_file

if TYPE_CHECKING:
    from spnl_tui.media.media_reader import MediaReader

MAX_FILE_BYTES = 4_000_000
"""The size limit in bytes: more text than the context of any model that runs here."""


async def read_files(query: Query, directory: Path, media: MediaReader | None = None) -> Query:
    """Return the query with each file replaced by its text. Each file is read once.

    With `media`, documents become text too, and a mark stands for an image (models/image_marks.py).

    Raises:
        QuerySyntaxError: a file cannot be read, is too large, or is not UTF-8; `place` is in the query.
    """
    files: dict[str, File] = {}
    for _, node in walk(query):
        if isinstance(node, Message) and isinstance(node.content, File):
            files.setdefault(node.content.path, node.content)
    if not files:
        return query
    texts = {path: await asyncio.to_thread(_read, file, directory, media) for path, file in files.items()}

    def with_text(node: Query) -> Query:
        if isinstance(node, Message) and isinstance(node.content, File):
            return replace(node, content=texts[node.content.path])
        return node

    return transform(query, with_text)


def _read(file: File, directory: Path, media: MediaReader | None) -> str:
    path = directory / file.path
    try:
        path = directory / Path(file.path).expanduser()
        if media is not None and path.suffix.lower() in IMAGE_SUFFIXES:
            return image_mark(media.image(path, file.path))
        if media is not None and path.suffix.lower() in DOCUMENT_SUFFIXES - TEXT_SUFFIXES:
            return media.document(path, file.path)
        return read_text_file(path, MAX_FILE_BYTES)
    except AttachmentError as error:
        raise QuerySyntaxError(f"cannot read {path}: {error.message}", file.place, error.hint) from error
    except (UnreadableFileError, RuntimeError) as error:  # RuntimeError: the home of an unknown user
        hint = "" if path.is_absolute() and file.path[:1] in "/~" else _base(directory)
        raise QuerySyntaxError(f"cannot read {path}: {error}", file.place, hint) from error


def _base(directory: Path) -> str:
    return f"Relative paths start from the query's directory, {directory.absolute()}."
