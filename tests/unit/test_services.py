"""How the services of a run hang together."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.engine.service import Engine
from spnl_tui.errors import HubError, StoreError
from spnl_tui.paths import Paths
from spnl_tui.services import Services
from spnl_tui.settings import ModelSettings, Settings
from tests.support.engines import fake_model


def test_pulls_give_way_to_a_reply_and_need_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services(Settings(), Paths.below(tmp_path))
    monkeypatch.setattr(Engine, "needs_every_core", True)
    assert not services.rate.slowed  # no engine was made, by asking neither
    assert services.engine.needs_every_core
    assert services.rate.slowed


async def test_what_was_used_is_closed_though_the_store_could_not_be_opened(tmp_path: Path) -> None:
    services = Services(Settings(), Paths.below(tmp_path))
    services.paths.data.parent.mkdir(parents=True, exist_ok=True)
    services.paths.data.write_text("no directory")
    with pytest.raises(StoreError):
        await services.store()
    engine = services.engine
    await services.close()
    (refused,) = [event async for event in engine.load(fake_model())]
    assert "closed" in str(refused)


async def test_a_model_that_was_asked_for_and_is_not_here_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    services = Services(Settings(model=ModelSettings(default="a/b")), Paths.below(tmp_path))
    with pytest.raises(HubError, match="a/b has not been pulled"):
        await services.wanted_model()
    with pytest.raises(HubError, match="spnl-chat pull c/d"):
        await services.wanted_model("c/d")
    monkeypatch.setattr(services.starter, "locate", lambda: None)
    assert await services.wanted_model("starter") is None
    await services.close()
