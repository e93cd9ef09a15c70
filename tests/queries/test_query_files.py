"""Images and documents that a query names with `(file …)`."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from spnl_tui.media.image_store import ImageStore
from spnl_tui.media.media_reader import MediaReader
from spnl_tui.models.image_marks import content_of
from spnl_tui.models.parts import ImagePart
from spnl_tui.queries.files import read_files
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.source import QuerySyntaxError
from spnl_tui.queries.tree import Message, walk
from tests.support import documents


@pytest.mark.slow
async def test_image_and_document_of_a_query_become_parts_and_text(tmp_path: Path) -> None:
    Image.new("RGB", (9, 5)).save(tmp_path / "x.png")
    (tmp_path / "a.pdf").write_bytes(documents.pdf(["Hello"]))
    query = read_lisp('(g "m" (cross (file "x.png") (file "a.pdf") (user "What?")))')
    media = MediaReader(ImageStore(tmp_path / "images"))
    read = await read_files(query, tmp_path, media)
    texts = [node.content for _, node in walk(read) if isinstance(node, Message)]
    (image,) = content_of(str(texts[0]))
    assert isinstance(image, ImagePart)
    assert (image.width, image.height, image.name) == (9, 5, "x.png")
    assert texts[1:] == ["[page 1 of 1]\nHello", "What?"]


async def test_broken_image_of_a_query_is_reported_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    query = read_lisp('(g "m" (file "x.png"))')
    with pytest.raises(QuerySyntaxError, match="not an image"):
        await read_files(query, tmp_path, MediaReader(ImageStore(tmp_path / "images")))
