"""The context meter shows what the visible branch uses. A token of the scripted engine is a word."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from spnl_tui.conversations.context import TemplateOverhead
from spnl_tui.engine.backend import ModelLoaded
from spnl_tui.ui.models.loaded_screen import LoadedScreen
from tests.support.echo_backend import EchoBackend
from tests.support.scripted_engine import MODEL, ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, ended, held

REPORTED = 24
"""The tokens of a prompt and a reply in one piece, as the scripted engine reports them."""
TEMPLATE = TemplateOverhead().first


async def until_used(it: Chat, tokens: int) -> None:
    await wait_until(lambda: it.screen.activity.context_used == tokens)


@pytest.mark.slow
async def test_meter_shows_the_visible_branch_after_each_change(tmp_path: Path) -> None:
    store = TempStore(tmp_path / "s.db")
    stopped = held("one two three", asyncio.Event(), "never")
    engine = ScriptedEngine([reply("whole"), stopped, reply("other", pieces=3)])
    cut_off = 20 + 3  # what the engine reported for the same prompt, and the words of the partial reply
    async with chat(engine, store=store) as it:
        await it.ask("Two words")
        await until_used(it, REPORTED)
        await it.press("ctrl+r")
        await wait_until(lambda: it.turns[-1] == ("assistant", "one two three"))
        await it.press("escape")
        await ended(it, 2)
        await until_used(it, cut_off)
        await it.press("ctrl+r")
        await ended(it, 3)
        await until_used(it, REPORTED + 8)
        await it.press("alt+left")
        await until_used(it, cut_off)
        await it.press("alt+left")
        await until_used(it, REPORTED)
        await it.press("alt+right")
        await until_used(it, cut_off)
        id = it.screen.conversation.id
        await it.press("ctrl+n")
        await wait_until(lambda: it.screen.activity.context_used is None)
    async with chat(ScriptedEngine(), store=store, resume=id) as it:
        await until_used(it, TEMPLATE + 2 + 3)
    await store.close()


@pytest.mark.slow
async def test_status_says_that_the_unloaded_model_is_not_loaded() -> None:
    engine = EchoBackend()
    model = await engine.find("echo")
    async with chat(engine, model=model) as it:
        await it.ask("Hello")
        assert (it.screen.activity.state, it.screen.activity.context_length) == ("idle", 4096)
        await it.press("alt+l")
        await wait_until(lambda: isinstance(it.app.screen, LoadedScreen))
        await it.press("f8")
        await wait_until(lambda: not engine.loaded())
        await it.press("escape")
        await wait_until(lambda: it.screen.activity.state == "unloaded")
        assert it.screen.activity.context_length is None
        await it.ask("Again")
        assert it.screen.activity.context_length == 4096


async def test_model_that_idled_away_is_shown_as_not_loaded_until_it_is_back() -> None:
    model = replace(MODEL, capabilities=replace(MODEL.capabilities, unloads=True))
    engine = ScriptedEngine()
    async with chat(engine, model=model) as it:
        await it.ask("Hello")
        engine.pool = ()
        it.screen.current_model.check_loaded()
        assert it.screen.activity.state == "unloaded"
        engine.pool = None
        it.screen.current_model.check_loaded()
        assert (it.screen.activity.state, it.screen.activity.context_length) == ("idle", 8192)


async def test_branch_is_counted_with_the_template_of_the_loaded_model(tmp_path: Path) -> None:
    store = TempStore(tmp_path / "s.db")
    async with chat(ScriptedEngine([held("one", asyncio.Event(), "never")]), store=store) as it:
        await it.ask("Two words", wait=False)
        await wait_until(lambda: it.turns[-1] == ("assistant", "one"))
        await it.press("escape")
        await ended(it, 1)
        id = it.screen.conversation.id
    engine = ScriptedEngine(load_script=[ModelLoaded(seconds=0, context_length=8192)])
    (loaded,) = engine.loaded()
    engine.pool = (replace(loaded, template_tokens=40),)
    async with chat(engine, store=store, resume=id) as it:
        await until_used(it, 40 + 2 + 1)
    await store.close()
