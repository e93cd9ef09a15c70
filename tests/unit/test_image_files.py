"""Images of conversations: exported with them, imported, and removed once no conversation holds them."""

from __future__ import annotations

import base64
import io
import json
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text, to_markdown
from spnl_tui.conversations.exchange.image_files import LinkedImages, store_images
from spnl_tui.conversations.exchange.imports import read_export
from spnl_tui.conversations.storage.image_rows import GRACE_S
from spnl_tui.conversations.storage.store import Store
from spnl_tui.media.image_store import ImageStore
from spnl_tui.models.parts import ImagePart, TextPart


def _png(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(stream, "png")
    return stream.getvalue()


def _image(store: ImageStore, colour: str, name: str = "my photo.png") -> ImagePart:
    data = _png(colour)
    return ImagePart(store.put(data), "image/png", len(data), name, 8, 6)


def _conversation(*images: ImagePart) -> Conversation:
    conversation = Conversation(title="Pictures", model="m")
    conversation.add_turn("user", (*images, TextPart("Compare.")))
    conversation.finish(conversation.add_turn("assistant", "Alike.").id, "stop")
    return conversation


def test_json_export_brings_its_images_and_an_import_is_identical(tmp_path: Path) -> None:
    here, there = ImageStore(tmp_path / "here"), ImageStore(tmp_path / "there")
    conversation = _conversation(_image(here, "red"), _image(here, "blue"))
    file = tmp_path / "export.json"
    file.write_text(to_json_text([conversation], here))
    found = read_export(file)
    assert store_images(found.images, there) == 0
    assert to_json_text(found.conversations, there) == file.read_text()
    assert there.stored() == here.stored()


@pytest.mark.slow
@pytest.mark.parametrize("bytes_", [b"no image", b""])
def test_import_of_other_bytes_stores_nothing_and_keeps_the_conversation(
    bytes_: bytes, tmp_path: Path
) -> None:
    here, there = ImageStore(tmp_path / "here"), ImageStore(tmp_path / "there")
    image = _image(here, "red")
    value = json.loads(to_json_text([_conversation(image)], here))
    value["images"][image.sha256] = base64.b64encode(bytes_).decode()
    file = tmp_path / "export.json"
    file.write_text(json.dumps(value))
    found = read_export(file)
    assert len(found.conversations) == 1
    assert found.left_out == {"image": 1}
    # Right hash, yet not an image, or one that could exhaust the memory of a model.
    large = io.BytesIO()
    Image.new("1", (3000, 20)).save(large, "png")
    for data in (bytes_ or b"x", large.getvalue()):
        false = ImagePart(here.put(data), "image/png", 1)
        file.write_text(to_json_text([_conversation(false)], here))
        assert store_images(read_export(file).images, there) == 1
    assert not there.stored()


def test_markdown_export_links_images_that_lie_beside_it(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    image = _image(store, "red", "../../a b](x.png")
    linked = LinkedImages("pictures")
    text = to_markdown(_conversation(image), None, linked.link)
    (name,) = linked.files
    assert f"![a-b-x](pictures/{name})" in text
    assert "/" not in name
    linked.write(tmp_path / "out.md", store)
    assert (tmp_path / "pictures" / name).read_bytes() == _png("red")


async def test_image_is_removed_with_its_last_turn_when_deletion_is_final(tmp_path: Path) -> None:
    images = ImageStore(tmp_path / "images")
    kept, gone, recent = (_image(images, colour) for colour in ("red", "blue", "green"))
    for image in (kept, gone):
        os.utime(images.path(image.sha256), (time.time() - 2 * GRACE_S,) * 2)
    store = await Store.open(tmp_path / "conversations.db")
    first, second = _conversation(kept, gone), _conversation(kept)
    for each in (first, second):
        await store.add(each)
    await store.delete_conversation(first.id)
    assert images.has(gone.sha256)  # the user may still undo it
    await store.restore_conversation(first.id)
    await store.close()
    assert images.stored() == {kept.sha256, gone.sha256, recent.sha256}
    store = await Store.open(tmp_path / "conversations.db")
    await store.delete_conversation(first.id)
    await store.close()
    assert images.stored() == {kept.sha256, recent.sha256}
