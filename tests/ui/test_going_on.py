"""Replies that go on, full contexts, and the tree: with the real store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import OptionList

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.store import Store
from spnl_tui.engine.protocol import Event, ReplyChunk, ReplyFinished
from spnl_tui.models.local import LocalModel
from spnl_tui.settings import Settings
from spnl_tui.settings.schema import ContextSettings
from spnl_tui.ui.confirm_screen import ConfirmScreen
from spnl_tui.ui.tree_screen import TreeScreen
from spnl_tui.ui.widgets.status_line import StatusLine
from spnl_tui.ui.widgets.turns import Thinking
from tests.support.scripted_engine import ScriptedEngine, failure, reply
from tests.ui.support import Chat, TempStore, chat, disk_error, wait_until


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TempStore]:
    it = TempStore(tmp_path / "data" / "conversations.db")
    yield it
    await it.close()


def last(it: Chat) -> tuple[str, str | None]:
    turn = it.screen.conversation.path()[-1]
    return turn.text, turn.finish_reason


async def ended(it: Chat, count: int) -> None:
    await wait_until(lambda: it.ended() >= count and it.screen.activity.state == "idle")
    await it.pilot.pause()


async def go_to(it: Chat, text: str) -> None:
    """Move the cursor up to the turn with this text."""
    while (turn := it.screen.branches.under_cursor()) is None or turn.text != text:
        before = turn
        await it.press("alt+up")
        await wait_until(lambda before=before: it.screen.branches.under_cursor() is not before)


async def kept(it: Chat, store: TempStore, check: Callable[[Conversation], bool]) -> None:
    """Wait until this is true of what the store holds of the conversation that is seen."""
    opened, id = await store(), it.screen.conversation.id
    async with asyncio.timeout(20):
        while not check(await opened.load(id)):  # noqa: ASYNC110 - no event tells of a file
            await asyncio.sleep(0.01)


# ── going on with a reply ────────────────────────────────────────────────────────────────────────


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
        assert [message.content for message in engine.asked[1]] == ["Tell me", "The sea is deep"]
        assert engine.went_on == 1
        turn = it.screen.conversation.path()[-1]
        assert turn.provenance is not None
        assert turn.provenance.begun == len("The sea is deep")
        texts = ["The sea is salt", "The sea is deep", "The sea is deep and wide."]
        await kept(it, store, lambda stored: [each.text for each in stored.turns()][1:] == texts)


async def test_a_reply_that_came_to_its_end_does_not_go_on(store: TempStore) -> None:
    engine = ScriptedEngine([reply("All of it."), reply("Cut", finish="length")])
    async with chat(engine, store=store) as it:
        await it.ask("One")
        assert not it.screen.branches.can("go_on")
        await it.ask("Two")
        assert it.screen.branches.can("go_on")


async def test_when_going_on_fails_what_there_was_is_there(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Cut", finish="length"), [failure("No more")]])
    async with chat(engine, store=store) as it:
        await it.ask("One")
        await it.press("alt+c")
        await ended(it, 2)
        assert last(it) == ("Cut", "failed")
        assert it.screen.branches.place(it.screen.conversation.path()[-1]) == (2, 2)


# ── a full context ───────────────────────────────────────────────────────────────────────────────


def filling(*more: list[object]) -> ScriptedEngine:
    """Replies of 40 words, of which few fit into the context; then these scripts."""
    script = [*reply(" ".join(["word"] * 40))[:-1], ReplyFinished(id=1, finish_reason="stop")]
    return ScriptedEngine([*([script] * 4), *more], context_length=256)  # type: ignore[list-item]


def policy(name: str) -> Settings:
    return Settings(context=ContextSettings(policy=name))  # type: ignore[arg-type]


async def test_the_turns_left_out_are_summed_up_by_the_model(store: TempStore) -> None:
    hold = asyncio.Event()
    summary = [*reply("Words were said.")[:-1], hold, ReplyFinished(id=1, finish_reason="stop")]
    engine = filling(summary, [*reply("Fine.")[:-1], ReplyFinished(id=1, finish_reason="stop")])
    async with chat(engine, store=store, settings=policy("summarize")) as it:
        for number in range(4):
            await it.ask(f"Question {number}")
        it.prompt.insert("Question 4")
        await it.press("enter")
        await wait_until(lambda: it.screen.activity.state == "summarizing")
        await it.pilot.pause()
        assert "summing up older turns" in str(it.screen.query_one(StatusLine).render())
        hold.set()
        await ended(it, 5)
        assert last(it) == ("Fine.", "stop")
        assert "Sum up" in engine.asked[4][0].content
        assert "Words were said." in engine.asked[5][0].content
        turn = it.screen.conversation.path()[-1]
        assert turn.provenance is not None
        assert turn.provenance.summary == "Words were said."
        assert turn.provenance.left_out
        box = it.transcript.query_one(".summary", Thinking)
        assert box.folded
        await it.press("ctrl+t")
        assert not box.folded
        id = it.screen.conversation.id
    # It is there again when the conversation is opened, and counts for the next reply.
    engine = ScriptedEngine([reply("Good.")], context_length=256)
    async with chat(engine, store=store, settings=policy("summarize"), resume=id) as it:
        await wait_until(lambda: it.transcript.query(".summary"))
        await it.ask("Question 5")
        assert "Words were said." in engine.asked[0][0].content
        assert len(it.screen.conversation) == 12


async def test_a_model_that_has_no_summary_is_not_asked_for_it_twice(store: TempStore) -> None:
    thought = [ReplyChunk(id=1, reasoning="So much", tokens=3), ReplyFinished(id=1, finish_reason="length")]
    engine = filling(thought, [*reply("Fine.")[:-1], ReplyFinished(id=1, finish_reason="stop")])
    async with chat(engine, store=store, settings=policy("summarize")) as it:
        for number in range(5):
            await it.ask(f"Question {number}")
        assert last(it) == ("Fine.", "stop")
        assert engine.asides == [False]  # nor is it to think


class _Renewing(ScriptedEngine):
    """Its runner is replaced after each reply; it is back when the model has been loaded twice."""

    loads = 0

    async def generate_chat(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Event, None]:
        async with aclosing(super().generate_chat(*args, **kwargs)) as events:
            async for event in events:
                if isinstance(event, ReplyFinished):
                    self.pool, self.loads = (), 0
                yield event

    async def load(self, model: LocalModel) -> AsyncGenerator[Event, None]:
        self.loads += 1
        if self.loads == 2:
            self.pool = None
        async with aclosing(super().load(model)) as events:
            async for event in events:
                yield event


@pytest.mark.parametrize("name", ["drop_oldest", "summarize", "ask"])
async def test_a_runner_that_is_just_replaced_does_not_make_it_send_all(store: TempStore, name: str) -> None:
    engine = _Renewing(filling().scripts * 2, context_length=256)
    async with chat(engine, store=store, settings=policy(name)) as it:
        for number in range(5):
            it.prompt.insert(f"Question {number}")
            await it.press("enter")
            if name == "ask" and number == 4:
                await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
                await it.press("y")
            await ended(it, number + 1)
        sent = "".join(message.content for message in engine.asked[-1])
        assert "Question 4" in sent
        assert "Question 0" not in sent


async def test_a_summary_that_fails_sends_nothing_without_a_word(store: TempStore) -> None:
    async with chat(filling([failure("Out of memory")]), store=store, settings=policy("summarize")) as it:
        for number in range(5):
            await it.ask(f"Question {number}")
        assert last(it)[1] == "failed"
        assert "The summary failed: Out of memory" in it.screen.conversation.path()[-1].error


@pytest.mark.parametrize("key", ["y", "n"])
async def test_it_is_asked_whether_turns_may_be_left_out(store: TempStore, key: str) -> None:
    engine = filling(reply("Fine."))
    async with chat(engine, store=store, settings=policy("ask")) as it:
        for number in range(4):
            await it.ask(f"Question {number}")
        it.prompt.insert("Question 4")
        await it.press("enter")
        await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
        await it.press(key)
        await ended(it, 5)
        assert last(it) == (("Fine.", "stop") if key == "y" else ("", "failed"))
        assert len(engine.asked) == (5 if key == "y" else 4)


# ── the tree ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_tree_shows_every_branch_and_goes_to_the_chosen_turn(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Paris."), reply("It is Paris."), reply("Two million.")])
    async with chat(engine, store=store) as it:
        await it.ask("Capital of France?")
        await it.press("ctrl+r")
        await ended(it, 2)
        await it.ask("How many live there?")
        await it.press("alt+t")
        await wait_until(lambda: isinstance(it.app.screen, TreeScreen))
        tree = it.app.screen.query_one(OptionList)
        lines = [str(tree.get_option_at_index(n).prompt) for n in range(tree.option_count)]
        assert lines == [
            "● You: Capital of France?",
            "├ ○ 1/2 Reply: Paris.",
            "├ ● 2/2 Reply: It is Paris.",
            "│ ● You: How many live there?",
            "│ ● Reply: Two million.",
        ]
        assert tree.highlighted == 4
        await it.press("left", "left", "enter")
        await wait_until(lambda: it.turns == [("user", "Capital of France?"), ("assistant", "Paris.")])
        texts = ["Capital of France?", "Paris."]
        await kept(it, store, lambda stored: [turn.text for turn in stored.path()] == texts)


async def test_a_branch_is_deleted_and_comes_back(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Paris."), reply("Rome.")])
    async with chat(engine, store=store) as it:
        await it.ask("France?")
        await it.ask("Italy?")
        await go_to(it, "Paris.")
        await it.press("shift+delete")
        await wait_until(lambda: it.turns == [("user", "France?")])
        await kept(it, store, lambda stored: len(stored) == 1)
        await it.press("alt+u")
        texts = ["France?", "Paris.", "Italy?", "Rome."]
        await wait_until(lambda: [text for _, text in it.turns] == texts)
        await kept(it, store, lambda stored: [turn.text for turn in stored.path()] == texts)


async def test_a_pinned_turn_is_sent_though_the_context_is_full(store: TempStore) -> None:
    engine = filling()
    engine.scripts *= 2
    async with chat(engine, store=store, settings=policy("drop_oldest")) as it:
        await it.ask("Remember this")
        await go_to(it, "Remember this")
        await it.press("alt+i")
        await wait_until(lambda: it.screen.conversation.path()[0].pinned)
        assert it.transcript.query(".-pinned")
        await it.press("escape")
        for number in range(5):
            await it.ask(f"Question {number}")
        last_asked = "".join(message.content for message in it.engine.asked[-1])
        assert "Remember this" in last_asked
        assert "Question 0" not in last_asked
        await kept(it, store, lambda stored: stored.path()[0].pinned)


# ── titles ───────────────────────────────────────────────────────────────────────────────────────


async def test_an_idle_model_names_the_conversation_once(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Paris."), reply('Title: "The capital of France"')])
    async with chat(engine, store=store, titles=True) as it:
        assert it.screen.answering.naming is not None
        it.screen.answering.naming.idle_s = 0.0
        await it.ask("hi, what is the capital of France?")
        await wait_until(lambda: it.screen.conversation.title == "The capital of France")
        await it.ask("And of Italy?")
        await it.pilot.pause(0.1)
        assert len(engine.asked) == 3  # the title was asked for once
        await kept(it, store, lambda stored: stored.title == "The capital of France")


async def test_a_title_that_cannot_be_kept_is_told_and_the_chat_goes_on(
    store: TempStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "rename", disk_error)
    async with chat(ScriptedEngine([reply("Paris."), reply("France")]), store=store, titles=True) as it:
        assert it.screen.answering.naming is not None
        it.screen.answering.naming.idle_s = 0.0
        await it.ask("Capital of France?")
        await wait_until(lambda: it.screen.conversation.title == "France")
        assert "The disk is broken" in [toast.title for toast in it.app._notifications]
        await it.ask("And of Italy?")
        assert it.turns[-1] == ("assistant", "Yes.")


async def test_a_title_is_left_when_the_user_types(store: TempStore) -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([reply("Paris."), [hold, *reply("Too late")]])
    async with chat(engine, store=store, titles=True) as it:
        assert it.screen.answering.naming is not None
        it.screen.answering.naming.idle_s = 0.0
        await it.ask("Capital of France?")
        await wait_until(lambda: len(engine.asked) == 2)
        await it.press("x")
        await wait_until(lambda: engine.cancelled == 1)
        hold.set()
        assert it.screen.conversation.title == "Capital of France?"
