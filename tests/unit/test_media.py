"""Images and documents that go with a prompt: converted in a child process and stored by hash."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from spnl_tui.conversations.attachments import as_typed, join, read, split
from spnl_tui.errors import AttachmentError
from spnl_tui.media.image_store import ImageStore
from spnl_tui.media.media_reader import MediaReader
from spnl_tui.models.image_marks import content_of
from spnl_tui.models.parts import ImagePart, TextPart

pytestmark = pytest.mark.slow


@pytest.fixture
def media(tmp_path: Path) -> MediaReader:
    return MediaReader(ImageStore(tmp_path / "images", 200))


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _rotated() -> bytes:
    image = Image.new("RGB", (60, 40), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}  # where it was
    return _saved(image, "JPEG", exif=exif)


def _huge_png(width: int, height: int) -> bytes:
    """A small file that claims to be enormous."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def _animated() -> bytes:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "green", "blue")]
    return _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


_NOISE = Image.frombytes("RGB", (300, 100), bytes(range(256)) * 351 + bytes(144))

IMAGES: list[tuple[str, Callable[[], bytes], tuple[int, int] | str]] = [
    ("plain.png", lambda: _saved(_NOISE, "PNG"), (200, 67)),
    ("scaled.jpg", lambda: _saved(Image.new("RGB", (3000, 1500)), "JPEG"), (200, 100)),
    ("turned.jpg", _rotated, (40, 60)),
    ("cmyk.jpg", lambda: _saved(Image.new("CMYK", (20, 10)), "JPEG"), (20, 10)),
    ("grey16.png", lambda: _saved(Image.new("I;16", (20, 10), 40000), "PNG"), (20, 10)),
    ("bits.png", lambda: _saved(Image.new("1", (20, 10)), "PNG"), (20, 10)),
    ("palette.gif", lambda: _saved(Image.new("P", (20, 10)), "GIF"), (20, 10)),
    ("clear.png", lambda: _saved(Image.new("RGBA", (20, 10), (0, 0, 0, 0)), "PNG"), (20, 10)),
    ("animated.gif", _animated, (20, 10)),
    ("picture.webp", lambda: _saved(_NOISE, "WEBP"), (200, 67)),
    ("picture.bmp", lambda: _saved(_NOISE, "BMP"), (200, 67)),
    ("picture.tiff", lambda: _saved(_NOISE, "TIFF"), (200, 67)),
    ("really-a-png.jpg", lambda: _saved(_NOISE, "PNG"), (200, 67)),
    ("thin.png", lambda: _saved(Image.new("RGB", (9000, 1)), "PNG"), (200, 1)),
    ("cut.jpg", lambda: _saved(_NOISE, "JPEG")[:900], "damaged"),
    ("cut.png", lambda: _saved(_NOISE, "PNG")[:-800], "damaged"),
    ("empty.png", lambda: b"", "not an image"),
    ("text.png", lambda: b"Hello\n" * 50, "not an image"),
    ("huge.png", lambda: _huge_png(30_000, 30_000), "30,000 × 30,000 pixels"),
    ("wrong.png", lambda: _huge_png(2**31 - 1, 2**31 - 1), "pixels"),
    ("none.png", lambda: _huge_png(0, 0), "damaged"),
    ("short.png", lambda: _huge_png(5000, 5000), "damaged"),
    ("drawing.svg", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    ("phone.heic", lambda: b"\0\0\0\x18ftypheic" + bytes(60), "HEIC"),
    ("script.eps.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
]


@pytest.mark.parametrize(("name", "make", "outcome"), IMAGES, ids=[name for name, _, _ in IMAGES])
def test_image_is_stored_upright_and_scaled_or_refused_with_a_reason(
    name: str,
    make: Callable[[], bytes],
    outcome: tuple[int, int] | str,
    media: MediaReader,
    tmp_path: Path,
) -> None:
    file = tmp_path / name
    file.write_bytes(make())
    if isinstance(outcome, str):
        with pytest.raises(AttachmentError, match=outcome):
            media.image(file, name)
        assert not media.images.stored()
        return
    part = media.image(file, name)
    assert (part.width, part.height, part.name) == (*outcome, name)
    data = media.images.read(part)
    with Image.open(io.BytesIO(data)) as kept:
        assert kept.size == outcome
        assert not kept.getexif()
    path = media.images.path(part.sha256)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_fifo_named_as_an_image_is_refused_at_once(media: MediaReader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "photo.png")
    with pytest.raises(AttachmentError, match="not a regular file"):
        media.image(tmp_path / "photo.png", "photo.png")


def test_mentioned_image_becomes_a_part_and_its_mention_comes_back(
    media: MediaReader, tmp_path: Path
) -> None:
    (tmp_path / "a b.png").write_bytes(_saved(_NOISE, "PNG"))
    (tmp_path / "notes.md").write_text("Read me.")
    typed = 'Compare @"a b.png" with @notes.md'
    prose, attached = read(typed, tmp_path, media)
    whole = join(prose, attached)
    image, text = content_of(whole)
    assert isinstance(image, ImagePart)
    assert text == TextPart(f"`notes.md`:\n```md\nRead me.\n```\n\n{typed}")
    assert split(whole) == (typed, (attached[0], attached[1]))
    assert as_typed(whole) == typed


def test_same_image_under_two_names_is_stored_once(media: MediaReader, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(_saved(_NOISE, "PNG"))
        media.image(tmp_path / name, name)
    (sha256,) = media.images.stored()
    media.images.remove([sha256])
    assert not media.images.stored()
