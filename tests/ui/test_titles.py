"""Titles that an idle model gives to conversations."""

from __future__ import annotations

import asyncio

import pytest

from spnl_tui.conversations.storage.store import Store
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import TempStore, chat, disk_error, until_kept


@pytest.mark.slow
async def test_idle_model_titles_the_conversation_once(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Paris."), reply('Title: "The capital of France"')])
    async with chat(engine, store=store, titles=True) as it:
        assert it.screen.titles is not None
        it.screen.titles.idle_s = 0.0
        await it.ask("hi, what is the capital of France?")
        await wait_until(lambda: it.screen.conversation.title == "The capital of France")
        await it.ask("And of Italy?")
        await it.pilot.pause(0.1)
        assert len(engine.asked) == 3  # the title was asked for once
        await until_kept(it, store, lambda stored: stored.title == "The capital of France")


async def test_title_that_cannot_be_stored_is_reported(
    store: TempStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "rename", disk_error)
    async with chat(ScriptedEngine([reply("Paris."), reply("France")]), store=store, titles=True) as it:
        assert it.screen.titles is not None
        it.screen.titles.idle_s = 0.0
        await it.ask("Capital of France?")
        await wait_until(lambda: it.screen.conversation.title == "France")
        assert "The disk is broken" in [toast.title for toast in it.app._notifications]
        await it.ask("And of Italy?")
        assert it.turns[-1] == ("assistant", "Yes.")


async def test_typing_cancels_the_title(store: TempStore) -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([reply("Paris."), [hold, *reply("Too late")]])
    async with chat(engine, store=store, titles=True) as it:
        assert it.screen.titles is not None
        it.screen.titles.idle_s = 0.0
        await it.ask("Capital of France?")
        await wait_until(lambda: len(engine.asked) == 2)
        await it.press("x")
        await wait_until(lambda: engine.cancelled == 1)
        hold.set()
        assert it.screen.conversation.title == "Capital of France?"
