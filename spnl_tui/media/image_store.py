"""The images of conversations: each file is stored once, under the SHA-256 of its bytes.

Only the user can read them. An image is kept as models receive it: upright, scaled, without metadata.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path

from spnl_tui.errors import AttachmentError
from spnl_tui.media.conversion import IMAGE_BYTES, convert
from spnl_tui.models.parts import ImagePart

LONGEST_SIDE, MOST_SIDE = 1024, 2048
"""Pixels of the longer side: by default, and at most. Qwen2-VL takes 20 GB for 2,800 × 2,800 pixels."""
_SHA256 = re.compile("[0-9a-f]{64}")


class ImageStore:
    """The images in one directory. Its methods block: they read, write and convert files."""

    def __init__(self, folder: Path, longest_side: int = LONGEST_SIDE) -> None:
        """`longest_side` (pixels): larger images are scaled down."""
        self._folder = folder
        self._longest = longest_side

    def path(self, sha256: str) -> Path:
        """Return where this image is, if it is stored.

        Raises:
            ValueError: it is not a SHA-256.
        """
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256[:70]!r} is not a SHA-256")
        return self._folder / sha256

    def add(self, source: Path | bytes, name: str) -> ImagePart:
        """Check, turn and scale an image, store the result and return its part. `name` is shown.

        Raises:
            AttachmentError: it is not an image that can be read, or it is too large.
        """
        if isinstance(source, bytes):
            size = len(source)
        else:
            status = source.stat()
            if not stat.S_ISREG(status.st_mode):  # a FIFO would be waited for
                title = f"{name} cannot be attached"
                raise AttachmentError(title, "It is not a regular file.", "Name an image file.")
            size = status.st_size
        if size > IMAGE_BYTES:
            raise AttachmentError(
                f"{name} cannot be attached",
                f"It has {size >> 20:,} MiB; images may have {IMAGE_BYTES >> 20} MiB.",
                "Scale it down first.",
            )
        done = convert("image", source, name=name, longest=self._longest)
        sha256 = self.put(done.data)
        facts = done.facts
        return ImagePart(sha256, facts["media_type"], len(done.data), name, facts["width"], facts["height"])

    def has(self, sha256: str) -> bool:
        """Return True if this image is stored."""
        return self.path(sha256).is_file()

    def check(self, data: bytes) -> None:
        """Check that these bytes are an image of a size that models can read.

        Raises:
            AttachmentError: they are not.
        """
        done = convert("image", data, name="An image", longest=self._longest)
        if max(done.facts["original"]) > MOST_SIDE:
            raise AttachmentError("An image cannot be imported", f"It has more than {MOST_SIDE:,} pixels.")

    def put(self, data: bytes) -> str:
        """Store these bytes and return their SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        target = self._folder / sha256
        if not target.exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, part = tempfile.mkstemp(dir=self._folder, prefix=".part-")  # mode 0600
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        return sha256

    def read(self, image: ImagePart) -> bytes:
        """Return the bytes of an image.

        Raises:
            AttachmentError: it is not stored any more.
        """
        try:
            return self.path(image.sha256).read_bytes()
        except (OSError, ValueError) as error:
            raise AttachmentError(
                f"{image.name or 'An image'} is missing",
                "Its file in the data directory was removed.",
                "Attach it again.",
            ) from error

    def data_url(self, image: ImagePart) -> str:
        """Return an image as a data URL, for requests to a server.

        Raises:
            AttachmentError: it is not stored any more.
        """
        return f"data:{image.media_type};base64,{base64.b64encode(self.read(image)).decode()}"

    def stored(self) -> frozenset[str]:
        """Return the SHA-256 of all images."""
        try:
            return frozenset(each for each in os.listdir(self._folder) if _SHA256.fullmatch(each))
        except FileNotFoundError:
            return frozenset()

    def remove(self, images: Collection[str]) -> None:
        """Remove these images, as far as they are stored."""
        for sha256 in images:
            self.path(sha256).unlink(missing_ok=True)
