"""Fixtures for whatever pulls, and for the library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spnl_tui.hub.library.library import Library
from spnl_tui.paths import Paths


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A Hugging Face cache directory that does not exist yet."""
    return tmp_path / "cache"


@pytest.fixture
async def library(cache: Path, paths: Paths) -> AsyncIterator[Library]:
    """The models in that cache, and those that are imported."""
    library = Library(cache, paths.data / "imported.json")
    yield library
    await library.close()
