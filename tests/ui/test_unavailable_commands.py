"""Keys and commands that can do nothing: they say why."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets._toast import Toast

from spnl_tui.errors import SpnlError
from spnl_tui.ui.commands.registry import COMMANDS
from tests.support.scripted_engine import MODEL, ScriptedEngine
from tests.support.waiting import wait_until
from tests.ui.models_support import make_browser
from tests.ui.support import Chat, ScriptedStarter, TempStore, chat, held, make_app, told

NOBODY = "http://127.0.0.1:9"
SILENT = (
    "list.help",
    "app.",
    "view.",
    "models.loaded",
    "talks.persona",
    "many.compare",
    "turn.leave",
    "turn.up",
    "turn.down",
)
"""They do something everywhere, or plainly have nothing to do."""


async def says(it: Chat, *keys: str) -> str:
    """What is told after these keys were pressed, in place of what was told before."""
    before = told(it)
    await it.press(*keys)
    await wait_until(lambda: told(it) and told(it) != before)
    return told(it)[-1]


@pytest.mark.slow
async def test_every_key_explains_itself_in_an_empty_conversation() -> None:
    async with chat() as it:
        for command in COMMANDS:
            if command.place != "screen" or command.id.startswith(SILENT) or command.keys == "escape":
                continue
            for key in filter(None, command.keys.split(",")):
                if "page" in key:
                    continue
                it.app._notifications.clear()
                await it.press(key)
                await it.pilot.pause()
                assert told(it), (command.id, key)
                assert it.app.screen is it.screen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (["ctrl+r"], "A reply is in progress. Press Esc to stop it."),
        (["alt+n"], "A reply is in progress. Press Esc to stop it."),
        (["alt+i"], "No turn is selected. Press Alt+↑ to select one."),
        (["f9"], "No pulls are left from the last run."),
        (["f4", "ctrl+e"], "This is a command for the conversation. Press F2 to show it."),
        (["f4", "delete"], "No pull is selected."),
        (["f4", "shift+up"], "No pull is selected."),
        (["f4", "f4"], "This is already on the screen."),
        (["f5", "ctrl+y"], "This command does not work in the list. Press Esc to leave the list."),
    ],
)
async def test_unavailable_key_shows_its_reason(tmp_path: Path, keys: list[str], why: str) -> None:
    hold = asyncio.Event()
    store = TempStore(tmp_path / "c.db")
    async with chat(ScriptedEngine([held("One", hold)]), store=store) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        assert why in await says(it, *keys)
        hold.set()
        await wait_until(it.ended)
    await store.close()


async def test_only_the_last_reason_is_visible() -> None:
    async with chat() as it:
        first = await says(it, "ctrl+r")
        assert await says(it, "alt+u") == "Ctrl+Z does nothing now: There is nothing to undo."
        assert first not in told(it)


async def test_reasons_appear_in_one_place() -> None:
    app = make_app(ScriptedEngine())
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await wait_until(lambda: app.focused is not None)
        places = set()
        for key in ("ctrl+r", "alt+u", "ctrl+y"):
            await pilot.press(key)
            await wait_until(lambda: len(app.screen.query(Toast)) == 1 and app.screen.query_one(Toast).region)
            await pilot.pause(0.1)
            places.add(app.screen.query_one(Toast).region.y)
        assert len(places) == 1


@pytest.mark.slow
async def test_end_of_the_branches_is_reported() -> None:
    async with chat() as it:
        await it.ask("Hi")
        assert "There are no other branches here." in await says(it, "alt+left")
        await it.press("ctrl+r")
        await wait_until(lambda: it.ended() == 2)
        assert await says(it, "alt+right") == "No other branch on that side: This is the last of 2."


async def test_text_area_keeps_its_keys_while_it_has_text() -> None:
    async with chat() as it:
        await it.press(*"ab", "home", "ctrl+e", "c")
        assert (it.prompt.text, told(it)) == ("abc", [])
        await it.press("ctrl+u")
        assert "This conversation is still empty." in await says(it, "ctrl+e")


async def test_candidates_without_a_model_show_the_reason() -> None:
    async with chat(model=None, starter=ScriptedStarter()) as it:
        await wait_until(lambda: it.screen.current_model.looked)
        it.prompt.insert("/n 3 Write a tagline")
        why = "There is no model yet. Press F3 to pull or choose one, or Ctrl+G for the starter model."
        assert await says(it, "enter") == f"/n cannot run now: {why}"
        assert it.prompt.text == "/n 3 Write a tagline"
        assert await says(it, "alt+n") == f"Alt+N does nothing now: {why}"


async def test_candidates_with_an_unusable_model_show_its_error() -> None:
    async with chat(error=SpnlError("No such model", "qwen is not here.")) as it:
        await wait_until(lambda: it.screen.current_model.looked)
        it.prompt.insert("/compare a b -- Hi")
        said = await says(it, "enter")
        assert "No such model\nqwen is not here.\nPress F3 to pull or choose a model" in said


@pytest.mark.slow
async def test_unavailable_keys_of_the_models_pane_show_their_reasons(tmp_path: Path) -> None:
    browser = make_browser(NOBODY, tmp_path)
    async with chat(browser=browser, model=replace(MODEL)) as it:
        await it.press("f3")
        await wait_until(lambda: it.screen.panes.seen == "models")
        assert "The highlighted model is not on this machine." in await says(it, "f8")
        assert "The details of no model are shown." in await says(it, "f7")
    await browser._catalog.close()
    await browser._library.close()
