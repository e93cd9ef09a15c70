"""Reads images and documents that a prompt mentions, each once as long as the file does not change."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from spnl_tui.errors import AttachmentError, cause_of
from spnl_tui.media.conversion import DOCUMENT_BYTES, convert
from spnl_tui.media.image_store import ImageStore
from spnl_tui.models.parts import ImagePart

_PASTED = re.compile(r"clipboard-([0-9a-f]{12})\.png")
_REMEMBERED = 64
Result = TypeVar("Result", ImagePart, str)


class MediaReader:
    """Converts files; its methods block, and may take seconds for the first time."""

    def __init__(self, images: ImageStore) -> None:
        self.images = images
        self._images: OrderedDict[tuple[object, ...], ImagePart] = OrderedDict()
        self._documents: OrderedDict[tuple[object, ...], str] = OrderedDict()

    def image(self, file: Path, name: str) -> ImagePart:
        """Store an image as models receive it, and return its part. `name` is how the user wrote its path.

        Raises:
            AttachmentError: it cannot be read.
        """
        return _kept(self._images, _state(file, name), lambda: self.images.add(file, name))

    def add_pasted(self, data: bytes) -> ImagePart:
        """Store an image without a file, such as one from the clipboard, and return its part.

        Its name is a path that `pasted` finds again.

        Raises:
            AttachmentError: it cannot be read.
        """
        image = self.images.add(data, "The image in the clipboard")
        return replace(image, name=f"clipboard-{image.sha256[:12]}.png")

    def pasted(self, name: str) -> ImagePart | None:
        """Return the image that `add_pasted` gave this name, if it is stored."""
        match = _PASTED.fullmatch(name)
        if match is None:
            return None
        for sha256 in self.images.stored():
            if sha256.startswith(match[1]):
                return replace(self.image(self.images.path(sha256), name), sha256=sha256)
        return None

    def thumbnail(self, image: ImagePart, columns: int, rows: int) -> tuple[int, int, bytes]:
        """Return width, height and pixels (three bytes each) of a small copy.

        Raises:
            AttachmentError: it cannot be read.
        """
        done = convert("thumbnail", self.images.read(image), name=image.name, columns=columns, rows=rows)
        return done.facts["width"], done.facts["height"], done.data

    def document(self, file: Path, name: str, pages: str = "") -> str:
        """Return a document as text. `pages` selects some: "3-7,9"; empty means all.

        Raises:
            AttachmentError: it cannot be read, or has no text.
        """
        state = _state(file, name)
        if file.stat().st_size > DOCUMENT_BYTES:
            raise AttachmentError(
                f"{name} cannot be attached",
                f"It has {file.stat().st_size >> 20:,} MiB; documents may have {DOCUMENT_BYTES >> 20} MiB.",
                "Split it first.",
            )

        def read() -> str:
            return convert("document", file, name=name, pages=pages).data.decode("utf-8", "replace")

        return _kept(self._documents, (*state, pages), read)


def _state(file: Path, name: str) -> tuple[object, ...]:
    try:
        status = file.stat()
    except FileNotFoundError as error:
        raise AttachmentError(
            f"{name} cannot be attached", "There is no such file.", "Is it misspelt?"
        ) from error
    except OSError as error:
        raise AttachmentError(
            f"{name} cannot be attached", f"{cause_of(error)}.", "Check its path."
        ) from error
    return file, name, status.st_size, status.st_mtime_ns


def _kept(
    known: OrderedDict[tuple[object, ...], Result], key: tuple[object, ...], make: Callable[[], Result]
) -> Result:
    if key not in known:
        known[key] = make()
        while len(known) > _REMEMBERED:
            known.popitem(last=False)
    return known[key]
