"""Reads an image with Pillow: checks, turns and scales it, drops its metadata. Runs in a child process."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from spnl_tui.media.refusal import Refusal

MOST_PIXELS = 50_000_000
"""Larger images would take too much memory, and models scale them down in any case."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO")


def read_image(source: str | bytes, *, longest: int) -> tuple[dict[str, Any], bytes]:
    """Return facts, and the image as PNG or JPEG without metadata, no side longer than `longest` pixels.

    Of an animation the first picture is taken.

    Raises:
        Refusal: it is not an image that can be read, or too large.
    """
    with _open(source) as opened:
        lossy = opened.format in ("JPEG", "WEBP")
        frames = getattr(opened, "n_frames", 1)
        original = opened.size
        image = _upright(opened, longest)
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if lossy and image.mode != "RGBA":
        image.save(stream, "JPEG", quality=90)
    else:
        image.save(stream, "PNG", optimize=False)
    facts = {
        "media_type": "image/jpeg" if lossy and image.mode != "RGBA" else "image/png",
        "width": image.width,
        "height": image.height,
        "original": list(original),
        "frames": frames,
    }
    return facts, stream.getvalue()


def thumbnail(source: str | bytes, columns: int, rows: int) -> tuple[dict[str, Any], bytes]:
    """Return the size of a small copy, and its pixels, three bytes for each.

    Raises:
        Refusal: it is not an image that can be read, or too large.
    """
    with _open(source) as opened:
        image = _upright(opened, max(columns, rows)).convert("RGBA")
    image.thumbnail((columns, rows))
    # Half blocks are drawn in pairs of rows.
    height = image.height + image.height % 2
    flat = Image.new("RGB", (image.width, height), "black")
    flat.paste(image, mask=image)
    return {"width": flat.width, "height": flat.height}, flat.tobytes()


def _open(source: str | bytes) -> Image.Image:
    Image.MAX_IMAGE_PIXELS = None  # checked here, in words for the user
    stream: Any = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        image = Image.open(stream, formats=_FORMATS)
    except UnidentifiedImageError:
        begin = source[:512] if isinstance(source, bytes) else _beginning(source)
        if b"<svg" in begin.lower() or begin.lstrip().startswith(b"<?xml"):
            raise Refusal("It is an SVG drawing.", "Export it as PNG.") from None
        if b"ftyphei" in begin[:32] or b"ftypmif1" in begin[:32] or b"ftypavif" in begin[:32]:
            raise Refusal("It is a HEIC or AVIF image.", "Export it as JPEG or PNG.") from None
        raise Refusal(
            "It is not an image, or one that is damaged.", "PNG, JPEG, WebP, GIF, BMP and TIFF are read."
        ) from None
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise Refusal(
            f"It has {width:,} × {height:,} pixels; at most {MOST_PIXELS // 1_000_000} million are read.",
            "Scale it down first.",
        )
    if width < 1 or height < 1:
        raise Refusal("It has no pixels.")
    return image


def _beginning(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(512)


def _upright(image: Image.Image, longest: int) -> Image.Image:
    """Return the first picture, turned as the camera was held, with colours that every decoder knows."""
    image.draft("RGB", (longest, longest))  # a JPEG is decoded smaller, which saves time and memory
    try:
        image.load()
    except OSError as error:
        raise Refusal(f"It is damaged: {error}.", "Copy or download it again.") from error
    turned = ImageOps.exif_transpose(image)
    has_alpha = turned.mode in ("RGBA", "LA", "PA") or "transparency" in turned.info
    if turned.mode in ("I", "I;16", "I;16B", "F"):
        # Sixteen bits: Pillow would cut the values instead of scaling them.
        extrema: Any = turned.getextrema()
        low, span = extrema[0], (extrema[1] - extrema[0]) or 1
        turned = turned.convert("F").point(lambda value: (value - low) * (255 / span)).convert("L")
    converted = turned.convert("RGBA" if has_alpha else "RGB")
    converted.info.clear()
    return converted
