"""Exports of the conversation on the screen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spnl_tui.errors import StoreError, cause_of
from spnl_tui.text import plain

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.sessions import Sessions
    from spnl_tui.media.media_reader import MediaReader


class ExportController:
    """Writes the visible conversation to a new file in the working directory."""

    def __init__(
        self, screen: Screen[Any], sessions: Sessions, media: Callable[[], MediaReader] | None = None
    ) -> None:
        """`media` returns the reader of images."""
        self._media = media
        self._screen = screen
        self._sessions = sessions

    async def markdown(self, named: str = "") -> None:
        """Write the active branch as Markdown, for reading, or as HTML to a file named .html.

        To a file named .json, the whole conversation is written as JSON.

        The file must not exist yet; empty: a new file in the working directory.

        Raises:
            StoreError: the file cannot be written.
        """
        if named.endswith(".json"):
            await self.json(named)
            return
        if named.endswith((".html", ".htm")):
            await self.html(named)
            return
        from spnl_tui.conversations.exchange.export import to_markdown
        from spnl_tui.conversations.exchange.image_files import LinkedImages

        conversation = self._sessions.visible.conversation
        linked = LinkedImages(f"images-{conversation.id[:12]}")
        file = await self._export(to_markdown(conversation, None, linked.link), ".md", named)
        if self._media is not None:
            try:
                await asyncio.to_thread(linked.write, file, self._media().images)
            except OSError as error:
                raise StoreError("The images cannot be written", f"{cause_of(error)}.") from error

    async def html(self, named: str = "") -> None:
        """Write the active branch as one HTML file. A named file must not exist yet.

        Raises:
            StoreError: the file cannot be written.
        """
        from spnl_tui.conversations.exchange.html_export import to_html

        images = None if self._media is None else self._media().images
        conversation = self._sessions.visible.conversation
        text = await asyncio.to_thread(to_html, [(conversation, conversation.path())], images)
        await self._export(text, ".html", named)

    async def json(self, named: str = "") -> None:
        """Write the whole conversation as JSON, without loss. A named file must not exist yet.

        Raises:
            StoreError: the file cannot be written.
        """
        from spnl_tui.conversations.exchange.export import to_json_text

        images = None if self._media is None else self._media().images
        conversation = self._sessions.visible.conversation
        await self._export(await asyncio.to_thread(to_json_text, [conversation], images), ".json", named)

    async def query(self) -> None:
        """Write the active branch as a span query that asks for its last reply again.

        Raises:
            QueryError: the conversation has no prompt yet.
            StoreError: the file cannot be written.
        """
        from spnl_tui.queries.chat import branch_to_lisp

        await self._export(branch_to_lisp(self._sessions.visible.conversation), ".lisp")

    async def _export(self, text: str, suffix: str, named: str = "") -> Path:
        from spnl_tui.conversations.exchange.new_file import write_as, write_new_file

        if named:
            file = await asyncio.to_thread(write_as, Path(named), text)
        else:
            title = self._sessions.visible.conversation.title
            file = await asyncio.to_thread(write_new_file, Path.cwd(), title, suffix, text)
        self._screen.notify(plain(str(file)), title="Exported to", markup=False)
        return file
