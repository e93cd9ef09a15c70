"""The store of a program, opened when it is first used."""

from __future__ import annotations

import asyncio
from pathlib import Path

from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import SpnlError


class DeferredStore:
    """Opens the store in a file once, whoever asks first, and closes it if it was opened.

    A process must not open the file twice: closing any descriptor of a file ends all POSIX locks that the
    process holds on it. Another program then takes the store for unused, and deletes the write-ahead log with
    what was saved since (https://www.sqlite.org/howtocorrupt.html, section 2.2).
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opening: asyncio.Future[Store] | None = None
        self._opening_to_read: asyncio.Future[Store] | None = None

    async def open(self) -> Store:
        """Return the store.

        Raises:
            StoreError: the file cannot be opened.
        """
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Store:
        reading, self._opening_to_read = self._opening_to_read, None
        if reading is not None:
            await _close(reading)
        return await Store.open(self._file)

    async def open_to_read(self) -> Store:
        """Return the store for a command that only reads it; see `Store.open_to_read`."""
        if self._opening is not None:
            return await self.open()
        if self._opening_to_read is None:
            self._opening_to_read = asyncio.ensure_future(Store.open_to_read(self._file))
        return await asyncio.shield(self._opening_to_read)

    async def close(self) -> None:
        """Close the store if it was opened."""
        for opening in (self._opening, self._opening_to_read):
            if opening is not None:
                await _close(opening)


async def _close(opening: asyncio.Future[Store]) -> None:
    try:
        store = await opening
    except SpnlError:
        return  # The caller of `open` received it.
    await store.close()
