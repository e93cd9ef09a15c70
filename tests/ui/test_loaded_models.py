"""The view of what is loaded: switching the model of a conversation, and unloading."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from spnl_tui.engine.backend import LoadedModel, LoadState, ModelHandle
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from spnl_tui.ui.main_screen import MainScreen
from spnl_tui.ui.models.loaded_screen import LoadedScreen
from spnl_tui.ui.widgets.model_row import ModelRow
from tests.support.pictures import both_sizes, snapshot
from tests.support.scripted_engine import MODEL, ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.models_support import cache, make_browser
from tests.ui.support import Chat, chat, make_app, told

OTHER = ModelHandle(name="acme/Other-GGUF:Q8_0", backend="scripted", key=("/models/other", "other-Q8_0.gguf"))
THIRD = ModelHandle(name="acme/Third-GGUF:Q4_K_M", backend="scripted", key=("/models/third", "third.gguf"))
NOBODY = "http://127.0.0.1:9"


def loaded(
    model: ModelHandle, state: LoadState = "idle", megabytes: int = 300, idle_s: float = 0.0
) -> LoadedModel:
    return LoadedModel(
        model=model,
        state=state,
        context_length=4096,
        memory_bytes=megabytes * 10**6,
        idle_s=idle_s if state == "idle" else None,
    )


def two_models() -> ScriptedEngine:
    return ScriptedEngine(
        pool=(loaded(MODEL), loaded(OTHER, megabytes=1200, idle_s=190), loaded(THIRD, "loading", 0))
    )


def view(it: Chat) -> LoadedScreen:
    assert isinstance(it.app.screen, LoadedScreen)
    return it.app.screen


def rows(screen: LoadedScreen) -> list[tuple[str, ...]]:
    options = screen.query_one(OptionList).options
    return [(o.row.left, *o.row.right) for o in options if isinstance(o, ModelRow)]


async def opened(it: Chat) -> LoadedScreen:
    await it.press("alt+l")
    await wait_until(lambda: isinstance(it.app.screen, LoadedScreen) and view(it)._entries is not None)
    await it.pilot.pause()
    return view(it)


async def test_view_shows_name_memory_state_and_idle_time() -> None:
    async with chat(two_models()) as it:
        screen = await opened(it)
        assert rows(screen) == [
            ("Loaded", "MEMORY", ""),
            ("SmolLM2-135M-Instruct (in use)", "300.0 MB", "idle"),
            ("acme/Other-GGUF:Q8_0", "1.2 GB", "idle 3 min"),
            ("acme/Third-GGUF:Q4_K_M", "", "loading"),
        ]
        await it.press("escape")
        assert it.app.screen is it.screen


@pytest.mark.slow
async def test_enter_switches_to_another_loaded_model() -> None:
    engine = two_models()
    engine.load_script = []  # of a model that is loaded, nothing is told
    async with chat(engine) as it:
        await it.ask("Hello")
        await opened(it)
        await it.press("down", "enter")
        await wait_until(lambda: it.screen.current_model.model == OTHER)
        await wait_until(lambda: it.screen.activity.context_length == 4096)
        assert it.app.focused is it.prompt
        assert len(it.screen.conversation) == 2
        await it.ask("And you?")
        assert it.screen.conversation.path()[-1].provenance.model == OTHER.name  # type: ignore[union-attr]


@pytest.mark.slow
async def test_model_on_disk_that_is_not_loaded_can_be_chosen(tmp_path: Path) -> None:
    cache(
        tmp_path / "hub",
        {"acme/Cached-GGUF": {"c-Q8_0.gguf": b"GGUF"}, "acme/B-GGUF": {"b-Q4_K_M.gguf": b"G"}},
    )
    browser = make_browser(NOBODY, tmp_path)
    async with chat(two_models(), browser=browser) as it:
        screen = await opened(it)
        assert rows(screen)[4:] == [
            ("On this machine", "SIZE", ""),
            ("acme/B-GGUF:Q4_K_M", "1 B", ""),
            ("acme/Cached-GGUF:Q8_0", "4 B", ""),
        ]
        await it.press(*"cached")
        await wait_until(lambda: screen.query_one(Input).value == "cached")
        assert [row[0] for row in rows(screen)] == ["On this machine", "acme/Cached-GGUF:Q8_0"]
        await it.press("enter")
        await wait_until(
            lambda: it.screen.current_model.model and it.screen.current_model.model.name.endswith("Q8_0")
        )
        assert it.screen.panes.seen == "chat"
    await browser._catalog.close()
    await browser._library.close()


@pytest.mark.slow
async def test_key_unloads_the_model() -> None:
    engine = two_models()
    async with chat(engine) as it:
        screen = await opened(it)
        await it.press("down", "f8")
        await wait_until(lambda: engine.unloaded == [OTHER])
        await wait_until(lambda: OTHER.name not in [row[0] for row in rows(screen)])
        assert screen.chosen is not None  # the highlight has somewhere to be


@pytest.mark.slow
async def test_unloading_a_model_that_is_not_loaded_is_refused(tmp_path: Path) -> None:
    cache(tmp_path / "hub", {"acme/Cached-GGUF": {"c-Q8_0.gguf": b"GGUF"}})
    browser = make_browser(NOBODY, tmp_path)
    engine = ScriptedEngine(pool=())
    async with chat(engine, browser=browser) as it:
        await opened(it)
        await it.press("f8")
        await wait_until(lambda: told(it))
        assert told(it) == ["Nothing to unload: acme/Cached-GGUF:Q8_0 is on this machine, but not in memory."]
        await it.press(*"nowhere", "f8")
        await wait_until(lambda: len(told(it)) == 2)
        assert told(it)[1] == "Nothing to unload: No model is highlighted."
        assert engine.unloaded == []
    await browser._catalog.close()
    await browser._library.close()


@pytest.mark.slow
async def test_unloading_a_busy_model_asks_first() -> None:
    engine = two_models()
    engine.scripts = [[*reply("Paris is", pieces=2)[:-1], asyncio.Event()]]
    async with chat(engine) as it:
        await it.ask("Capital?", wait=False)
        await wait_until(lambda: it.screen.replying)
        engine.pool = (loaded(MODEL, "busy"),)
        await opened(it)
        for answer, expected in (("n", []), ("y", [MODEL])):
            await it.press("f8")
            await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
            await it.press(answer)
            await wait_until(lambda: isinstance(it.app.screen, LoadedScreen))
            await wait_until(lambda expected=expected: engine.unloaded == expected)


@pytest.mark.slow
async def test_view_follows_changes_and_keeps_the_highlight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spnl_tui.ui.models.loaded_screen._INTERVAL_S", 0.05)
    engine = two_models()
    async with chat(engine) as it:
        screen = await opened(it)
        await it.press("down")
        assert screen.chosen == OTHER
        engine.pool = (
            loaded(THIRD, megabytes=700),
            *(replace(each, state="busy") for each in engine.loaded()[:2]),
        )
        await wait_until(lambda: ("acme/Third-GGUF:Q4_K_M", "700.0 MB", "idle") in rows(screen))
        assert screen.chosen == OTHER


async def test_name_with_markup_and_control_characters_is_plain_text() -> None:
    bad = replace(OTHER, name="acme/[b]\x1b[2J[/]")
    async with chat(ScriptedEngine(pool=(loaded(bad),))) as it:
        screen = await opened(it)
        assert "\x1b" not in rows(screen)[1][0]
        assert "[b]" in rows(screen)[1][0]


@pytest.mark.slow
@both_sizes
def test_picture(snap_compare: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    cache(tmp_path / "hub", {"acme/Cached-GGUF": {"c-Q8_0.gguf": b"GGUF" * 10**6}})

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await pilot.press("alt+l")
        await wait_until(lambda: isinstance(pilot.app.screen, LoadedScreen))
        view = pilot.app.screen
        assert isinstance(view, LoadedScreen)
        view.query_one(Input).cursor_blink = False
        await wait_until(lambda: view._entries is not None)
        await pilot.press("down")

    app = make_app(two_models(), browser=make_browser(NOBODY, tmp_path))
    snapshot(snap_compare, app, size, act)
