"""Keys and prompts that come while a model loads or replies: none is lost, and each waits for its turn."""

from __future__ import annotations

import asyncio

import pytest

from spnl_tui.ui import messages
from tests.support.scripted_engine import ScriptedEngine, failure, reply
from tests.support.waiting import wait_until
from tests.ui.support import chat, held, told, typed_ahead


@pytest.mark.slow
async def test_prompt_sent_during_a_reply_waits_for_its_end() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold), reply("Two")])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.ask("Second", wait=False)
        await wait_until(lambda: it.screen.query(".queued"))
        assert it.prompt.text == ""
        assert len(it.engine.asked) == 1
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        assert [text for _, text in it.turns] == ["First", "One", "Second", "Two"]
        assert not it.screen.query(".queued")


@pytest.mark.slow
async def test_prompts_typed_ahead_are_answered_in_turn() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold), reply("Two"), reply("Three")])) as it:
        typed_ahead(it, "first", "second")
        await wait_until(lambda: it.screen.activity.state == "replying" and it.screen.query(".queued"))
        await it.pilot.pause()
        assert len(it.engine.asked) == 1
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        assert [text for _, text in it.turns] == ["first", "One", "second", "Two"]
        assert [message.text for message in it.engine.asked[1]] == ["first", "One", "second"]
        assert not it.screen.query(".queued")


@pytest.mark.slow
async def test_prompts_typed_before_the_model_is_found_keep_their_order() -> None:
    found = asyncio.Event()
    scripts = [reply("Hi."), reply("One."), reply("Two."), reply("Three.")]
    async with chat(ScriptedEngine(scripts), found=found) as it:
        typed_ahead(it, "First", "/n 2 A", "B")
        await it.pilot.pause()
        found.set()
        await wait_until(lambda: it.ended() == 4)
        assert [text for _, text in it.turns] == ["First", "Hi.", "A", "One.", "B", "Three."]
        assert (it.prompt.text, told(it)) == ("", [])


async def test_unavailable_command_typed_early_blocks_nothing() -> None:
    found = asyncio.Event()
    async with chat(found=found) as it:
        typed_ahead(it, "/retry", "A")
        await it.pilot.pause()
        found.set()
        await wait_until(it.ended)
        assert it.turns == [("user", "A"), ("assistant", "Yes.")]
        assert it.prompt.text == "/retry"
        assert told(it) == ["/retry cannot run now: This conversation is still empty."]


async def test_prompts_return_in_order_when_no_model_is_found() -> None:
    found = asyncio.Event()
    async with chat(found=found, model=None) as it:
        typed_ahead(it, "A", "B", "/n 2 C", "D")
        await it.pilot.pause()
        found.set()
        await wait_until(lambda: it.prompt.text == "A\n\nB\n\n/n 2 C\n\nD")
        await it.pilot.pause()
        assert [text.partition(":")[0] for text in told(it)] == ["/n cannot run now"]


async def test_new_conversation_can_begin_before_the_model_is_found() -> None:
    found = asyncio.Event()
    async with chat(ScriptedEngine([reply("One."), reply("Two.")]), found=found) as it:
        first = it.screen.conversation
        typed_ahead(it, "A", "/new", "B")
        await it.pilot.pause()
        found.set()
        await wait_until(lambda: it.ended() == 2)
        assert first.path()[0].text == "A"
        assert it.turns[0] == ("user", "B")
        assert len(first) == len(it.turns) == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ctrl+r", "/retry", "/continue"])
async def test_prompt_typed_ahead_waits_for_a_regenerated_reply(how: str) -> None:
    first, last = asyncio.Event(), asyncio.Event()
    async with chat(ScriptedEngine([held("One", first), held("Two", last), reply("Three")])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("escape")
        await wait_until(lambda: it.ended() == 1 and it.engine.cancelled == 1)
        if how == "ctrl+r":
            it.app.simulate_key("ctrl+r")
        else:
            typed_ahead(it, how)
        typed_ahead(it, "second")
        await wait_until(lambda: it.screen.activity.state == "replying" and it.screen.query(".queued"))
        await it.pilot.pause()
        assert len(it.engine.asked) == 2
        last.set()
        await wait_until(lambda: it.ended() == 3)
        reply_before = "OneTwo" if how == "/continue" else "Two"
        assert [text for _, text in it.turns] == ["First", reply_before, "second", "Three"]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "failed"])
async def test_queued_prompt_returns_when_the_reply_fails(how: str) -> None:
    hold = asyncio.Event()
    script = [*held("One", hold)[:-1], failure("Broken")]
    async with chat(ScriptedEngine([script])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.ask("Second", wait=False)
        await wait_until(lambda: it.screen.query(".queued"))
        it.prompt.insert("third")
        if how == "stopped":
            await it.press("escape")
        else:
            hold.set()
        await wait_until(lambda: it.prompt.text == "Second\n\nthird")
        assert len(it.engine.asked) == 1


@pytest.mark.slow
async def test_keys_work_during_a_load_and_a_prompt_waits_for_it() -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine()
    engine.load_script = [engine.load_script[0], hold, engine.load_script[1]]
    engine.scripts = [[engine.load_script[0], hold, *reply("Ready.")]]
    async with chat(engine) as it:
        await wait_until(lambda: it.screen.activity.state == "loading")
        assert it.screen.activity.stage == "reading"
        await it.press(*"hello", "ctrl+j", *"there")
        assert it.prompt.text == "hello\nthere"
        await it.press("enter", *"next")
        assert it.prompt.text == "next"
        await wait_until(lambda: it.screen.activity.state == "loading" and it.happened(messages.ReplyBegan))
        hold.set()
        await wait_until(it.ended)
        assert it.turns == [("user", "hello\nthere"), ("assistant", "Ready.")]
        await wait_until(lambda: it.screen.activity.context_length == 8192)


@pytest.mark.slow
async def test_keys_work_during_a_long_reply() -> None:
    text = (
        "".join(f"{n}. **item** number {n}\n" for n in range(1, 400))
        + "\n```python\n"
        + "x = 1\n" * 200
        + "```\n"
    )
    hold = asyncio.Event()
    script = reply(text, pieces=500)
    slowly = [step for event in script[:-1] for step in (event, 0.002)]
    async with chat(ScriptedEngine([[*slowly, hold, script[-1]]])) as it:
        await it.ask("Long", wait=False)
        for typed, letter in enumerate("abcdefghij", 1):
            # Not pilot.press, which would wait until the interface has nothing to do.
            it.app.simulate_key(letter)
            await wait_until(lambda typed=typed: it.prompt.text == "abcdefghij"[:typed])
        assert not it.ended()
        hold.set()
        await wait_until(it.ended, 60)
        assert it.turns[-1] == ("assistant", text)
