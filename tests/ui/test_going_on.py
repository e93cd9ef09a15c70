"""Replies that go on where they were stopped, with the real store."""

from __future__ import annotations

import asyncio

from tests.support.scripted_engine import ScriptedEngine, failure, reply
from tests.ui.support import TempStore, chat, ended, go_to, last, until_kept, wait_until


async def test_a_stopped_reply_is_edited_and_goes_on_and_the_first_one_stays(store: TempStore) -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([[*reply("The sea is salt")[:-1], hold], reply(" and wide.")])
    async with chat(engine, store=store) as it:
        await it.ask("Tell me", wait=False)
        await wait_until(lambda: last(it)[0] == "The sea is salt")
        await it.press("escape")
        await ended(it, 1)
        await go_to(it, "The sea is salt")
        await it.press("ctrl+e")
        await wait_until(lambda: it.prompt.text == "The sea is salt")
        it.prompt.replace_all("The sea is deep")
        await it.press("enter")
        await wait_until(lambda: last(it) == ("The sea is deep", "cancelled"))
        assert not it.prompt.text
        assert len(engine.asked) == 1
        await it.press("alt+c")
        await ended(it, 2)
        assert last(it) == ("The sea is deep and wide.", "stop")
        assert [message.text for message in engine.asked[1]] == ["Tell me", "The sea is deep"]
        assert engine.continued == 1
        turn = it.screen.conversation.path()[-1]
        assert turn.provenance is not None
        assert turn.provenance.begun == len("The sea is deep")
        texts = ["The sea is salt", "The sea is deep", "The sea is deep and wide."]
        await until_kept(it, store, lambda stored: [each.text for each in stored.turns()][1:] == texts)


async def test_a_reply_that_came_to_its_end_does_not_go_on(store: TempStore) -> None:
    engine = ScriptedEngine([reply("All of it."), reply("Cut", finish="length")])
    async with chat(engine, store=store) as it:
        await it.ask("One")
        assert not it.available("turn.go_on")
        await it.ask("Two")
        assert it.available("turn.go_on")


async def test_when_going_on_fails_what_there_was_is_there(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Cut", finish="length"), [failure("No more")]])
    async with chat(engine, store=store) as it:
        await it.ask("One")
        await it.press("alt+c")
        await ended(it, 2)
        assert last(it) == ("Cut", "failed")
        assert it.screen.turns.place(it.screen.conversation.path()[-1]) == (2, 2)
