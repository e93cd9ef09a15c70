"""Exports and imports images: as base64 in JSON, as files beside Markdown. Blocks, so call it in a thread."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import AttachmentError
from spnl_tui.media.conversion import IMAGE_BYTES
from spnl_tui.media.image_store import ImageStore
from spnl_tui.models.parts import Content, ImagePart, Part, TextPart, images_in

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif"}


def images_of(turns: Iterable[Turn]) -> dict[str, ImagePart]:
    """Return the images of these turns by their SHA-256."""
    return {image.sha256: image for turn in turns for image in images_in(turn.content)}


def images_as_plain(conversations: Iterable[Conversation], store: ImageStore) -> dict[str, str]:
    """Return the bytes of all images as base64, by SHA-256, without missing ones."""
    plain: dict[str, str] = {}
    for conversation in conversations:
        for sha256, image in sorted(images_of(conversation.turns()).items()):
            try:
                plain[sha256] = base64.b64encode(store.read(image)).decode()
            except AttachmentError:
                continue
    return plain


def images_from_plain(
    value: Any, wanted: Mapping[str, ImagePart], left_out: Counter[str]
) -> dict[str, bytes]:
    """Return the images of an export that conversations use and whose bytes match the hash."""
    found: dict[str, bytes] = {}
    given = value if isinstance(value, dict) else {}
    for sha256 in wanted:
        encoded = given.get(sha256)
        try:
            if not isinstance(encoded, str) or len(encoded) > IMAGE_BYTES * 2:
                raise ValueError("no image")
            data = base64.b64decode(encoded, validate=True)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise ValueError("other bytes")
            found[sha256] = data
        except (ValueError, binascii.Error):
            left_out["image"] += 1
    return found


def store_images(images: Mapping[str, bytes], store: ImageStore) -> int:
    """Store imported images that are readable, and return how many are not."""
    refused = 0
    for sha256, data in images.items():
        if store.has(sha256):
            continue
        try:
            store.check(data)
        except AttachmentError:
            refused += 1
        else:
            store.put(data)
    return refused


class LinkedImages:
    """Replaces images in Markdown with links to files in one directory."""

    def __init__(self, folder: str) -> None:
        """`folder` is a path relative to the Markdown file."""
        self._folder = folder
        self.files: dict[str, ImagePart] = {}
        """The images to write, by file name."""

    def link(self, turn: Turn) -> Turn:
        """Return the turn with links for its images."""
        return replace(turn, content=self._linked(turn.content))

    def write(self, beside: Path, store: ImageStore) -> None:
        """Write the images into their directory beside the Markdown file.

        Raises:
            OSError: an image cannot be written.
        """
        if self.files:
            (beside.parent / self._folder).mkdir(exist_ok=True)
        for name, image in self.files.items():
            try:
                data = store.read(image)
            except AttachmentError:
                continue
            target = beside.parent / self._folder / name
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)

    def _linked(self, content: Content) -> Content:
        parts: list[Part] = []
        for part in content:
            if isinstance(part, ImagePart):
                stem = re.sub(r"[^\w.-]+", "-", PurePath(part.name).stem)[:60].strip(".-") or "image"
                name = f"{part.sha256[:8]}-{stem}{_SUFFIXES.get(part.media_type, '')}"
                self.files[name] = part
                parts.append(TextPart(f"![{stem}]({self._folder}/{name})"))
            else:
                parts.append(part)
        return tuple(parts)
