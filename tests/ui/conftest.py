"""Fixtures for the interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.hub import LoopbackHub
from tests.support.idle import prompt_pilot
from tests.support.parsed_css import shared_stylesheets
from tests.ui.models_support import cache, fill
from tests.ui.support import TempStore


@pytest.fixture(autouse=True)
def _prompt_pilot() -> Iterator[None]:
    with prompt_pilot(), shared_stylesheets():
        yield


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TempStore]:
    """The real store in a file, for however many programs the test starts."""
    it = TempStore(tmp_path / "data" / "conversations.db")
    yield it
    await it.close()


@pytest.fixture
def filled(hub: LoopbackHub, tmp_path: Path) -> LoopbackHub:
    """A hub with something on it, and one model on this machine: `models_support.HERE`."""
    fill(hub, tmp_path / "made")
    cache(tmp_path / "hub", {"acme/Cached-GGUF": {"c-Q8_0.gguf": tmp_path / "made" / "made-Q8_0.gguf"}})
    return hub
