"""Fixtures for the interface."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ui.support import TempStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TempStore]:
    """The real store in a file, for however many programs the test starts."""
    it = TempStore(tmp_path / "data" / "conversations.db")
    yield it
    await it.close()
