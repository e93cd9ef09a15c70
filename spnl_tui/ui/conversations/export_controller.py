"""Exports of the conversation on the screen."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spnl_tui.text import plain

if TYPE_CHECKING:
    from textual.screen import Screen

    from spnl_tui.chat.sessions import Sessions


class ExportController:
    """Writes the visible conversation to a new file in the working directory."""

    def __init__(self, screen: Screen[Any], sessions: Sessions) -> None:
        self._screen = screen
        self._sessions = sessions

    async def markdown(self) -> None:
        """Write the active branch as Markdown, for reading.

        Raises:
            StoreError: the file cannot be written.
        """
        from spnl_tui.conversations.exchange.export import to_markdown

        await self._export(to_markdown(self._sessions.visible.conversation), ".md")

    async def json(self) -> None:
        """Write the whole conversation as JSON, without loss.

        Raises:
            StoreError: the file cannot be written.
        """
        from spnl_tui.conversations.exchange.export import to_json_text

        await self._export(to_json_text([self._sessions.visible.conversation]), ".json")

    async def query(self) -> None:
        """Write the active branch as a span query that asks for its last reply again.

        Raises:
            QueryError: the conversation has no prompt yet.
            StoreError: the file cannot be written.
        """
        from spnl_tui.queries.chat import branch_to_lisp

        await self._export(branch_to_lisp(self._sessions.visible.conversation), ".lisp")

    async def _export(self, text: str, suffix: str) -> None:
        from spnl_tui.conversations.exchange.new_file import write_new_file

        title = self._sessions.visible.conversation.title
        file = await asyncio.to_thread(write_new_file, Path.cwd(), title, suffix, text)
        self._screen.notify(plain(str(file)), title="Exported to", markup=False)
