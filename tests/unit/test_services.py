"""How the services of a run hang together."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.engine.service import Engine
from spnl_tui.paths import Paths
from spnl_tui.services import Services
from spnl_tui.settings import Settings


def test_pulls_give_way_to_a_reply_and_need_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(Settings(), Paths.below(tmp_path))
    monkeypatch.setattr(Engine, "needs_every_core", True)
    assert not services.rate.slowed  # no engine was made, by asking neither
    assert services.engine.needs_every_core
    assert services.rate.slowed
