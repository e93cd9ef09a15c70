"""Fixtures for whatever pulls."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A Hugging Face cache directory that does not exist yet."""
    return tmp_path / "cache"
