"""Replies that go on where they were stopped, with the real store."""

from __future__ import annotations

import asyncio

import pytest

from spnl_tui.engine.backend import ReplyChunk
from tests.support.scripted_engine import ScriptedEngine, Step, failure, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, ended, go_to, last, until_kept


@pytest.mark.slow
async def test_stopped_reply_is_edited_and_continued_and_the_first_stays(store: TempStore) -> None:
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


@pytest.mark.slow
async def test_finished_reply_cannot_be_continued(store: TempStore) -> None:
    engine = ScriptedEngine([reply("All of it."), reply("Cut", finish="length")])
    async with chat(engine, store=store) as it:
        await it.ask("One")
        assert not it.available("turn.go_on")
        await it.ask("Two")
        assert it.available("turn.go_on")


async def test_failed_continuation_keeps_the_earlier_text(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Cut", finish="length"), [failure("No more")]])
    async with chat(engine, store=store) as it:
        await it.ask("One")
        await it.press("alt+c")
        await ended(it, 2)
        assert last(it) == ("Cut", "failed")
        assert it.screen.turns.place(it.screen.conversation.path()[-1]) == (2, 2)


@pytest.mark.slow
async def test_thought_cut_at_its_limit_is_continued(store: TempStore) -> None:
    rest = [ReplyChunk(reasoning=" and oil.", tokens=3), *reply("Two.")[1:]]
    engine = ScriptedEngine([reply("", reasoning="Add salt", finish="length"), rest])
    async with chat(engine, store=store) as it:
        await it.ask("How many?")
        assert "cut off while thinking" in shown_notes(it)
        await it.press("alt+c")
        await ended(it, 2)
        turn = it.screen.conversation.path()[-1]
        assert (turn.reasoning, turn.text) == ("Add salt and oil.", "Two.")
        assert engine.begun_thoughts == ["Add salt"]
        assert [message.text for message in engine.asked[1]] == ["How many?"]


@pytest.mark.slow
async def test_stopped_thought_is_continued(store: TempStore) -> None:
    begun: list[Step] = [ReplyChunk(reasoning="Hm, so", tokens=3), asyncio.Event()]
    engine = ScriptedEngine([begun, reply("Yes.")])
    async with chat(engine, store=store) as it:
        await it.ask("Is it?", wait=False)
        await wait_until(lambda: it.screen.conversation.path()[-1].reasoning == "Hm, so")
        await it.press("escape")
        await ended(it, 1)
        assert "stopped while thinking" in shown_notes(it)
        await it.press("alt+c")
        await ended(it, 2)
        assert engine.begun_thoughts == ["Hm, so"]
        assert last(it) == ("Yes.", "stop")


@pytest.mark.parametrize(("reasoning", "note"), [("Hm.", "only thought"), ("", "ended it at once")])
async def test_reply_without_text_says_so(reasoning: str, note: str) -> None:
    async with chat(ScriptedEngine([reply("", reasoning=reasoning)])) as it:
        await it.ask("Is it?")
        assert note in shown_notes(it)


def shown_notes(it: Chat) -> str:
    return " ".join(str(note.render()) for note in it.transcript.query(".note"))
