"""The chat as a user meets it, key by key."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from spnl_tui.settings import ChatSettings, Settings
from spnl_tui.ui import messages
from spnl_tui.ui.chat.code_picker import CodePicker
from spnl_tui.ui.chat.turns import Reply, Thinking
from tests.support.scripted_engine import ScriptedEngine, failure, reply
from tests.support.waiting import wait_until
from tests.ui.support import chat, ended, held

SENT = (messages.PromptSubmitted, messages.ReplyBegan, messages.ReplyEnded)


# ── a prompt and its reply ───────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_second_prompt_is_sent_with_the_first_reply() -> None:
    async with chat(ScriptedEngine([reply("Paris.", pieces=3), reply("Two million.")])) as it:
        await it.ask("Capital of France?")
        await it.ask("How many people?")
        assert it.happened(*SENT) == ["PromptSubmitted", "ReplyBegan", "ReplyEnded"] * 2
        assert it.turns == [
            ("user", "Capital of France?"),
            ("assistant", "Paris."),
            ("user", "How many people?"),
            ("assistant", "Two million."),
        ]
        sent = [(message.role, message.text) for message in it.engine.asked[1]]
        assert sent == it.turns[:3]
        assert it.prompt.text == ""
        assert it.engine.cancelled == 0
        assert it.screen.activity.tokens == 4
        assert it.screen.activity.context_length == 8192


async def test_reply_shown_as_ended_accepts_the_keys_for_ended_replies() -> None:
    async with chat(ScriptedEngine([reply("Paris.", pieces=3)])) as it:
        shown: list[tuple[str, bool]] = []
        screen = it.screen
        screen.status.subscribe(lambda now: shown.append((now.state, screen.replying)))
        await it.ask("Capital of France?")
        assert ("idle", False) in shown
        assert ("idle", True) not in shown


async def test_system_prompt_and_sampling_are_sent() -> None:
    async with chat(settings=Settings(chat=ChatSettings(system_prompt="Be brief."))) as it:
        await it.ask("Hi")
        assert [(m.role, m.text) for m in it.engine.asked[0]] == [("system", "Be brief."), ("user", "Hi")]


@pytest.mark.slow
async def test_regenerate_keeps_the_old_reply() -> None:
    async with chat(ScriptedEngine([reply("First."), reply("Second.")])) as it:
        await it.ask("Say something")
        await it.press("ctrl+r")
        await wait_until(lambda: it.ended() == 2)
        assert it.happened(*SENT)[2:] == ["ReplyEnded", "ReplyBegan", "ReplyEnded"]
        assert it.turns == [("user", "Say something"), ("assistant", "Second.")]
        assert it.engine.asked[0] == it.engine.asked[1]
        last = it.screen.conversation.path()[-1]
        assert [turn.text for turn in it.screen.conversation.siblings(last.id)] == ["First.", "Second."]
        assert len(it.screen.query(Reply)) == 1


@pytest.mark.slow
async def test_view_follows_the_end_unless_the_user_scrolls_up() -> None:
    first, second = asyncio.Event(), asyncio.Event()
    # Every word differs, so that the reply does not count as one that repeats itself.
    paragraphs = (" ".join(f"{n}.{word}" for word in range(40)) for n in range(40))
    chunks = reply("\n\n".join(paragraphs), pieces=4)
    script = [*chunks[:3], first, chunks[3], second, *chunks[4:]]
    async with chat(ScriptedEngine([script])) as it:
        await it.ask("Go", wait=False)
        transcript = it.transcript
        await wait_until(
            lambda: transcript.max_scroll_y > 30 and transcript.scroll_y == transcript.max_scroll_y
        )
        await it.press("pageup")
        await wait_until(lambda: transcript.scroll_y < transcript.max_scroll_y)
        place = transcript.scroll_y
        height = transcript.max_scroll_y
        first.set()
        await wait_until(lambda: transcript.max_scroll_y > height)
        assert transcript.scroll_y == place
        await it.press("end")
        await wait_until(lambda: transcript.scroll_y == transcript.max_scroll_y)
        second.set()
        await wait_until(it.ended)
        await wait_until(lambda: transcript.scroll_y == transcript.max_scroll_y)
        assert it.app.focused is it.prompt


@pytest.mark.slow
async def test_thinking_folds_when_the_answer_begins() -> None:
    hold = asyncio.Event()
    script = reply("Because.", reasoning="The user asks why.")
    async with chat(ScriptedEngine([[*script[:2], hold, *script[2:]]])) as it:
        await it.ask("Why?", wait=False)
        await wait_until(lambda: it.screen.query(Thinking))
        thinking = it.screen.query_one(Thinking)
        assert not thinking.folded
        hold.set()
        await wait_until(it.ended)
        assert thinking.folded
        turn = it.screen.conversation.path()[-1]
        assert (turn.text, turn.reasoning) == ("Because.", "The user asks why.")
        await it.press("ctrl+t")
        assert not thinking.folded


@pytest.mark.slow
async def test_reply_and_one_of_its_code_blocks_can_be_copied() -> None:
    text = "Look:\n\n```python\nx = 1\n```\n\nand\n\n```sh\nls\n```\n"
    async with chat(ScriptedEngine([reply(text)])) as it:
        await it.ask("Show")
        await it.press("ctrl+y")
        assert it.app.clipboard == text
        await it.press("ctrl+b")
        await wait_until(lambda: isinstance(it.app.screen, CodePicker))
        await it.press("up", "enter")
        await wait_until(lambda: it.app.clipboard == "x = 1")
        assert it.app.focused is it.prompt


@pytest.mark.slow
async def test_control_characters_of_a_model_never_reach_the_terminal() -> None:
    async with chat(ScriptedEngine([reply("a\x1b]52;c;eA==\x07b \x9b31m [bold]c[/] \u202ed")])) as it:
        await it.ask("Hi")
        (prose,) = it.screen.query("Reply Prose")
        assert str(prose.render()).strip() == "a]52;c;eA==b 31m [bold]c[/] d"


@pytest.mark.slow
async def test_reply_continues_after_a_new_conversation_begins() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold), reply("Fresh.")])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        old = it.screen.conversation
        await it.press("ctrl+n")
        await wait_until(lambda: it.screen.conversation is not old)
        assert it.screen.activity.state == "idle"
        await it.ask("Second")
        assert it.turns == [("user", "Second"), ("assistant", "Fresh.")]
        assert len(it.engine.asked[1]) == 1
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        assert old.path()[-1].finish_reason == "stop"
        assert it.turns == [("user", "Second"), ("assistant", "Fresh.")]
        assert "A reply is complete" in [toast.title for toast in it.app._notifications]


# ── replies that do not end well ─────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_escape_stops_and_keeps_the_partial_reply() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One, two", hold), reply("Three.")])) as it:
        await it.ask("Count", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("escape")
        await wait_until(it.ended)
        turn = it.screen.conversation.path()[-1]
        assert (turn.text, turn.finish_reason) == ("One, two", "cancelled")
        assert it.screen.activity.state == "idle"
        await wait_until(lambda: it.engine.cancelled == 1)
        await it.ask("Go on")
        assert it.turns[-1] == ("assistant", "Three.")


@pytest.mark.slow
async def test_stop_before_the_first_token_ends_the_reply() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([[hold]])) as it:
        await it.ask("Hi", wait=False)
        await wait_until(lambda: it.happened(messages.ReplyBegan))
        await it.press("escape")
        await wait_until(it.ended)
        assert it.screen.conversation.path()[-1].finish_reason == "cancelled"


@pytest.mark.slow
async def test_failure_keeps_the_partial_reply_and_the_next_prompt_works() -> None:
    broken = [*reply("Half of", pieces=1)[:-1], failure("The model ended", "Killed.", "Send again.")]
    async with chat(ScriptedEngine([broken, reply("Whole.")])) as it:
        await it.ask("One")
        turn = it.screen.conversation.path()[-1]
        assert (turn.text, turn.finish_reason) == ("Half of", "failed")
        assert turn.error == "The model ended\nKilled.\nSend again."
        notes = it.screen.query(".note.-failed")
        assert [str(note.render()) for note in notes] == [turn.error]
        await it.ask("Two")
        assert it.turns[-1] == ("assistant", "Whole.")


@pytest.mark.slow
async def test_engine_that_ends_without_a_final_event_fails_the_reply() -> None:
    async with chat(ScriptedEngine([reply("Half")[:-1]])) as it:
        await it.ask("One")
        assert it.screen.conversation.path()[-1].finish_reason == "failed"


@pytest.mark.slow
async def test_quitting_during_a_reply_closes_the_engine() -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([held("One", hold)])
    async with chat(engine) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+q")
    assert engine.closed


@pytest.mark.slow
async def test_ctrl_c_stops_a_reply_or_explains_how_to_quit() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold)])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+c")
        await wait_until(it.ended)
        assert it.screen.conversation.path()[-1].finish_reason == "cancelled"
        await it.press("ctrl+c")
        await wait_until(lambda: list(it.app._notifications))
        assert it.app.is_running


@pytest.mark.slow
async def test_first_reply_counts_the_tokens_of_the_template() -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([held("Yes", hold)])
    engine.pool = (replace(engine.loaded()[0], template_tokens=30),)
    async with chat(engine) as it:
        await it.ask("Is it so?", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        assert it.screen.activity.context_used == 3 + 30 + 4
        hold.set()
        await ended(it, 1)
