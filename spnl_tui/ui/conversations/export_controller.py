"""Exports of the conversation on the screen."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spnl_tui.errors import StoreError
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
        name = _file_name(self._sessions.visible.conversation.title)
        try:
            file = await asyncio.to_thread(_write_new, Path.cwd(), name, suffix, text)
        except OSError as error:
            raise StoreError(
                "The export cannot be written",
                f"{Path.cwd()}: {error.strerror}.",
                "Start the program in another directory.",
            ) from error
        self._screen.notify(plain(str(file)), title="Exported to", markup=False)


def _file_name(title: str) -> str:
    """Return the title as a file name of letters, digits and hyphens."""
    return re.sub(r"[\W_]+", "-", title.lower()).strip("-")[:60].strip("-") or "conversation"


def _write_new(folder: Path, name: str, suffix: str, text: str) -> Path:
    """Write a new file, with a number in its name if the name is taken. Return its path."""
    for number in range(1, 1000):
        file = folder / f"{name}{f'-{number}' if number > 1 else ''}{suffix}"
        try:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
        except FileExistsError:
            continue
        return file
    raise FileExistsError(17, "a thousand files have that name")
