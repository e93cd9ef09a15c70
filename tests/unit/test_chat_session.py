"""A conversation in progress, without a screen: what it does on request, and what it reports."""

from __future__ import annotations

import asyncio

import pytest

from spnl_tui.chat.queue import QueuedCommand
from spnl_tui.chat.shared_request import Variation
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.errors import CommandError
from spnl_tui.models.request import Sampling
from tests.support.chat_session import chat_without_screen
from tests.support.scripted_engine import ScriptedEngine, Step, failure, reply
from tests.support.waiting import wait_until


def held(text: str, hold: asyncio.Event) -> list[Step]:
    """Return a reply that waits after its text."""
    *before, end = reply(text)
    return [*before, hold, end]


async def test_prompt_is_answered_and_each_step_reported_in_order() -> None:
    async with chat_without_screen(ScriptedEngine([reply("Paris.")])) as chat:
        await chat.session.send("Capital of France?")
        await chat.saved()
        assert chat.turns == [("user", "Capital of France?"), ("assistant", "Paris.")]
        steps = [name for name in dict.fromkeys(chat.names()) if name != "ReplyProgressed"]
        assert steps == [
            "PromptAdded",
            "TitleChanged",
            "RunsChanged",
            "ReplyStarted",
            "PromptSaved",
            "MemoryChanged",
            "RunsEnded",
            "ReplyEnded",
            "ReplySaved",
        ]
        assert not chat.session.busy


async def test_prompt_sent_during_a_reply_waits_for_its_end() -> None:
    hold = asyncio.Event()
    async with chat_without_screen(ScriptedEngine([held("One.", hold), reply("Two.")])) as chat:
        await chat.session.send("First")
        await chat.session.send("Second")
        await chat.session.send("and third")
        assert chat.session.queue.text == "Second\n\nand third"
        await wait_until(lambda: "ReplyProgressed" in chat.names())
        hold.set()
        await chat.saved()
        assert chat.session.send_next()
        await chat.saved(2)
        assert [text for _, text in chat.turns] == ["First", "One.", "Second\n\nand third", "Two."]


async def test_prompt_sent_before_a_model_is_found_is_sent_then() -> None:
    async with chat_without_screen(model_found=False) as chat:
        await chat.session.send("Hi")
        assert chat.turns == []
        await chat.model.find()
        assert chat.sessions.send_queued()
        await chat.saved()
        assert chat.turns == [("user", "Hi"), ("assistant", "Yes.")]


async def test_command_in_the_queue_runs_between_the_prompts() -> None:
    ran: list[str] = []

    async def run() -> None:
        ran.append(chat.session.queue.text)

    async with chat_without_screen(model_found=False) as chat:
        await chat.session.send("Before")
        await chat.session.enqueue(QueuedCommand("/pin", run, lambda: None))
        await chat.session.send("After")
        await chat.model.find()
        chat.sessions.send_queued()
        await chat.saved()
        chat.session.send_next()
        await chat.saved(2)
        assert ran == ["After"]


async def test_hidden_session_reports_its_reply_to_the_same_subscribers() -> None:
    hold = asyncio.Event()
    async with chat_without_screen(ScriptedEngine([held("Late.", hold)])) as chat:
        await chat.session.send("Take your time")
        hidden = chat.session
        chat.sessions.show(Conversation())
        assert chat.sessions.replying == {hidden.conversation.id}
        hold.set()
        await chat.saved()
        assert chat.names(hidden)[-1] == "ReplySaved"
        assert chat.names() == []
        assert hidden.conversation.path()[-1].text == "Late."


async def test_stop_keeps_the_partial_reply_which_can_be_continued() -> None:
    hold = asyncio.Event()
    async with chat_without_screen(ScriptedEngine([held("One, two", hold), reply(", three.")])) as chat:
        await chat.session.send("Count")
        await wait_until(lambda: ("assistant", "One, two") in chat.turns)
        chat.session.stop()
        await chat.saved()
        assert chat.session.unfinished_reply is not None
        await chat.session.continue_reply()
        await chat.saved(2)
        assert chat.turns[-1] == ("assistant", "One, two, three.")
        assert len(chat.session.conversation.siblings(chat.session.conversation.path()[-1].id)) == 2


async def test_regenerated_reply_stands_beside_the_first() -> None:
    async with chat_without_screen(ScriptedEngine([reply("A"), reply("B")])) as chat:
        await chat.session.send("Say something")
        await chat.saved()
        await chat.session.regenerate()
        await chat.saved(2)
        assert chat.turns[-1] == ("assistant", "B")
        assert [turn.text for turn in chat.session.candidates.siblings] == ["A", "B"]


async def test_edited_prompt_begins_a_branch_and_returns_the_draft() -> None:
    async with chat_without_screen(ScriptedEngine([reply("A"), reply("B")])) as chat:
        await chat.session.send("First wording")
        await chat.saved()
        first = chat.session.conversation.path()[0]
        chat.session.selection.edit(first, "a draft")
        assert await chat.session.selection.end_edit() == "a draft"
        chat.session.selection.edit(first, "a draft")
        await chat.session.send("Second wording")
        await chat.saved(2)
        assert chat.turns == [("user", "Second wording"), ("assistant", "B")]
        assert len(chat.session.conversation.siblings(first.id)) == 2


async def test_candidates_close_with_the_highlighted_one_and_stop_the_rest() -> None:
    hold = asyncio.Event()
    scripts = [reply("One."), held("Two", hold), held("Three", hold)]
    async with chat_without_screen(ScriptedEngine(scripts)) as chat:
        samplings = [Variation(sampling=Sampling(seed=seed)) for seed in range(3)]
        await chat.session.ask_candidates("Count", samplings)
        assert chat.session.candidates.open is not None
        await chat.saved()
        await wait_until(lambda: all(turn.text for turn in chat.session.candidates.siblings))
        await chat.session.candidates.close()
        assert chat.session.candidates.open is None
        assert chat.turns == [("user", "Count"), ("assistant", "One.")]
        assert [turn.finish_reason for turn in chat.session.candidates.siblings] == [
            "stop",
            "cancelled",
            "cancelled",
        ]


async def test_candidates_without_any_prompt_are_refused() -> None:
    async with chat_without_screen() as chat:
        with pytest.raises(CommandError, match="no prompt"):
            await chat.session.ask_candidates("", [Variation(), Variation()])
        assert not chat.session.busy


async def test_failed_reply_is_reported_as_ended_and_frees_the_session() -> None:
    async with chat_without_screen(ScriptedEngine([[failure("The runner ended")]])) as chat:
        await chat.session.send("Hi")
        await chat.saved()
        assert chat.session.conversation.path()[-1].finish_reason == "failed"
        assert not chat.session.busy


async def test_sessions_drop_only_hidden_idle_conversations() -> None:
    hold = asyncio.Event()
    async with chat_without_screen(ScriptedEngine([held("Slow.", hold)])) as chat:
        await chat.session.send("Go")
        busy = chat.session
        idle = chat.sessions.show(Conversation())
        visible = chat.sessions.show(Conversation())
        chat.sessions.forget_idle()
        assert set(chat.sessions) == {busy, visible}
        assert chat.sessions.get(idle.conversation.id) is None
        assert chat.sessions.held(busy.conversation.id) is busy.conversation
        hold.set()
        await chat.saved()
