"""Pictures of the models pane at a small and a large terminal; test_models_pane.py has the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from spnl_tui.ui.main_screen import MainScreen
from spnl_tui.ui.models.pane import ModelsPane
from tests.support.hub import LoopbackHub
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import wait_until
from tests.ui.models_support import cache, fill, make_browser
from tests.ui.support import at_rest, make_app

both_sizes = pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
Act = Callable[[Pilot[None], ModelsPane], Awaitable[None]]


@pytest.fixture
def snapshot(snap_compare: Any, tmp_path: Path) -> Any:
    """Open the pane, do something, and compare the picture when all is at rest."""

    def check(endpoint: str, size: tuple[int, int], act: Act, timeout: float = 5) -> None:
        app = make_app(ScriptedEngine(), browser=make_browser(endpoint, tmp_path, timeout=timeout))

        async def run_before(pilot: Pilot[None]) -> None:
            screen = app.screen
            assert isinstance(screen, MainScreen)
            await wait_until(lambda: app.focused is screen.chat.prompt and screen.activity.state == "idle")
            await pilot.press("f3")
            await wait_until(
                lambda: screen.panes.seen == "models" and screen.panes.models and screen.panes.models.listed
            )
            pane = screen.panes.models
            assert pane is not None
            pane.search.cursor_blink = False
            await wait_until(lambda: not pane._results.busy)
            await act(pilot, pane)
            await at_rest(pilot)

        assert snap_compare(app, terminal_size=size, run_before=run_before)

    return check


async def judged(pane: ModelsPane) -> None:
    def rests() -> bool:
        look = pane.details.look
        return look is not None and look.subject == pane.list.chosen and not look.waiting_for

    await wait_until(rests)


async def nothing_more(pilot: Pilot[None], pane: ModelsPane) -> None:
    if not pane.has_class("-narrow") and pane.list.chosen is not None:
        await judged(pane)


@pytest.fixture
def filled(hub: LoopbackHub, tmp_path: Path) -> LoopbackHub:
    fill(hub, tmp_path / "made")
    return hub


@pytest.mark.slow
@both_sizes
def test_empty(hub: LoopbackHub, snapshot: Any, size: tuple[int, int]) -> None:
    snapshot(hub.endpoint, size, nothing_more)


@pytest.mark.slow
@both_sizes
def test_results(filled: LoopbackHub, snapshot: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    made = tmp_path / "made"
    cache(tmp_path / "hub", {"unsloth/Qwen3-4B-GGUF": {"q-Q4_K_S.gguf": made / "made-Q4_K_S.gguf"}})
    cache(tmp_path / "hub", {"acme/Made-GGUF": {"made-F16.gguf": made / "made-F16.gguf"}})

    async def act(pilot: Pilot[None], pane: ModelsPane) -> None:
        await pilot.press("down", "down", "down")
        await nothing_more(pilot, pane)

    snapshot(filled.endpoint, size, act)


@pytest.mark.slow
@both_sizes
def test_details_with_mixed_verdicts(
    filled: LoopbackHub, snapshot: Any, tmp_path: Path, size: tuple[int, int]
) -> None:
    cache(tmp_path / "hub", {"acme/Made-GGUF": {"made-Q6_K.gguf": tmp_path / "made" / "made-Q6_K.gguf"}})

    async def act(pilot: Pilot[None], pane: ModelsPane) -> None:
        await pilot.press("down", "enter")
        await judged(pane)

    snapshot(filled.endpoint, size, act)


@pytest.mark.slow
@both_sizes
def test_error(filled: LoopbackHub, snapshot: Any, size: tuple[int, int]) -> None:
    filled.faults.add("status", status=500, path="/api/models", times=None)
    snapshot(filled.endpoint, size, nothing_more)


@pytest.mark.slow
@both_sizes
def test_gated(filled: LoopbackHub, snapshot: Any, size: tuple[int, int]) -> None:
    async def act(pilot: Pilot[None], pane: ModelsPane) -> None:
        pane.search.value = "someone/other-04"
        await wait_until(lambda: pane._results.query.text and not pane._results.busy)
        await pilot.press("end", "enter")
        await judged(pane)

    snapshot(filled.endpoint, size, act)


@pytest.mark.slow
@both_sizes
def test_offline_hub_is_reported(
    filled: LoopbackHub, snapshot: Any, tmp_path: Path, size: tuple[int, int]
) -> None:
    made = tmp_path / "made"
    cache(tmp_path / "hub", {"unsloth/Qwen3-4B-GGUF": {"q-Q4_K_S.gguf": made / "made-Q4_K_S.gguf"}})
    filled.close()
    snapshot(filled.endpoint, size, nothing_more)
