"""The store on a real SQLite file of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spnl_tui.conversations.storage.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store's file is, or will be."""
    return tmp_path / "data" / "conversations.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    """The store in that file, open."""
    store = await Store.open(path)
    assert store.problem is None
    yield store
    await store.close()
