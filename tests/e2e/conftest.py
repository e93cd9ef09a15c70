"""Fixtures for programs that are run as users run them."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _first_launch(_own_directories: None, tmp_path: Path) -> None:
    """The first runner throws one token away and not, as on a new machine, up to thirty-two."""
    launches = tmp_path / "home/.local/state/spnl-chat/launches"
    launches.parent.mkdir(parents=True)
    launches.write_text("0")
