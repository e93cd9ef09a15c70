"""Images in the conversation: their previews, the clipboard, and the system's viewer."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from spnl_tui.errors import AttachmentError, CommandError, SpnlError
from spnl_tui.ui.widgets.half_blocks import half_blocks

if TYPE_CHECKING:
    from spnl_tui.media.media_reader import MediaReader
    from spnl_tui.models.parts import ImagePart

COLUMNS, ROWS = 36, 10
"""The largest preview."""
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg"}


class ImageController:
    """Draws previews, takes images from the clipboard, and opens them in the system's viewer."""

    def __init__(self, media: Callable[[], MediaReader] | None, environment: Mapping[str, str]) -> None:
        """`media` is None where nothing can be attached."""
        self._media = media
        self._plain = bool(environment.get("NO_COLOR"))
        self._drawn: dict[str, Content] = {}

    async def preview(self, image: ImagePart) -> Content | None:
        """Return the preview of an image; None without colours, or if the image cannot be read."""
        if self._media is None or self._plain:
            return None
        if image.sha256 not in self._drawn:
            try:
                size = await asyncio.to_thread(self._media().thumbnail, image, COLUMNS, 2 * ROWS)
            except SpnlError:  # its line shows the name, and sending it reports what is wrong
                return None
            self._drawn[image.sha256] = half_blocks(*size)
        return self._drawn[image.sha256]

    async def pasted(self) -> str | None:
        """Store the image in the clipboard and return its mention for the prompt; None if there is none.

        Raises:
            AttachmentError: the image cannot be read.
        """
        from spnl_tui.ui.chat.clipboard import read_clipboard_image

        if self._media is None or (data := await read_clipboard_image()) is None:
            return None
        image = await asyncio.to_thread(self._media().add_pasted, data)
        return f"@{image.name} "

    async def open(self, image: ImagePart) -> None:
        """Open an image in the system's viewer.

        Raises:
            CommandError: no viewer is installed.
        """
        if self._media is None:
            return
        viewer = "open" if sys.platform == "darwin" else "xdg-open"
        if shutil.which(viewer) is None:
            raise CommandError("The image cannot be opened", f"{viewer} is not installed.", "Install it.")
        data = await asyncio.to_thread(self._media().images.read, image)
        # The viewer may need the file longer than this program runs; the system clears it.
        folder = Path(tempfile.mkdtemp(prefix="spnl-chat-image-"))
        file = folder / f"image{_SUFFIXES.get(image.media_type, '')}"
        file.write_bytes(data)
        process = await asyncio.create_subprocess_exec(
            viewer,
            os.fspath(file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        if await process.wait():
            raise AttachmentError("The image cannot be opened", f"{viewer} found no program for it.")
