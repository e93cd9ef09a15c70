"""A context that is full: turns are left out, summed up, or asked about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import pytest

from spnl_tui.engine.backend import Event, ModelHandle, ReplyChunk, ReplyFinished, Request
from spnl_tui.settings import Settings
from spnl_tui.settings.schema import ContextSettings
from spnl_tui.ui.chat.turns import Thinking
from spnl_tui.ui.dialogs.confirm_screen import ConfirmScreen
from spnl_tui.ui.widgets.status_line import StatusLine
from tests.support.scripted_engine import ScriptedEngine, Step, failure, reply
from tests.support.waiting import wait_until
from tests.ui.support import TempStore, chat, ended, go_to, kept, last, until_kept


def filling(*more: list[Step], replies: int = 4) -> ScriptedEngine:
    """Replies of 40 words, of which few fit into the context; then these scripts."""
    script = [*reply(" ".join(["word"] * 40))[:-1], ReplyFinished(finish_reason="stop")]
    return ScriptedEngine([*([script] * replies), *more], context_length=256)


def policy(name: str) -> Settings:
    return Settings(context=ContextSettings(policy=name))  # type: ignore[arg-type]


# ── the oldest are left out ──────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_oldest_turns_are_left_out_with_a_marker_and_stay_stored(store: TempStore) -> None:
    async with chat(filling(replies=8), store=store) as it:
        for number in range(6):
            await it.ask(f"Question number {number}")
        last = it.screen.conversation.path()[-1]
        assert last.provenance is not None
        assert last.provenance.left_out
        assert "Question number 0" not in [m.text for m in it.engine.asked[-1]]
        marked = it.transcript.query(".-memory").first()
        begins = it.screen.conversation[marked.name or ""]
        assert it.engine.asked[-1][0].text == begins.text
        assert len((await kept(store))[0]) == 12
    async with chat(store=store, resume="") as it:
        await wait_until(lambda: it.transcript.query(".-memory"))
        assert it.screen.conversation[it.transcript.query(".-memory").first().name or ""] == begins


@pytest.mark.slow
async def test_pinned_turn_is_sent_when_the_context_is_full(store: TempStore) -> None:
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
        last_asked = "".join(message.text for message in it.engine.asked[-1])
        assert "Remember this" in last_asked
        assert "Question 0" not in last_asked
        await until_kept(it, store, lambda stored: stored.path()[0].pinned)


# ── they are summed up, or asked about ───────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_model_summarizes_the_turns_left_out(store: TempStore) -> None:
    hold = asyncio.Event()
    summary = [*reply("Words were said.")[:-1], hold, ReplyFinished(finish_reason="stop")]
    engine = filling(summary, [*reply("Fine.")[:-1], ReplyFinished(finish_reason="stop")])
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
        assert "Sum up" in engine.asked[4][0].text
        assert "Words were said." in engine.asked[5][0].text
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
        assert "Words were said." in engine.asked[0][0].text
        assert len(it.screen.conversation) == 12


@pytest.mark.slow
async def test_model_that_returns_no_summary_is_not_asked_twice(store: TempStore) -> None:
    thought: list[Step] = [ReplyChunk(reasoning="So much", tokens=3), ReplyFinished(finish_reason="length")]
    engine = filling(thought, [*reply("Fine.")[:-1], ReplyFinished(finish_reason="stop")])
    async with chat(engine, store=store, settings=policy("summarize")) as it:
        for number in range(5):
            await it.ask(f"Question {number}")
        assert last(it) == ("Fine.", "stop")
        assert engine.ephemeral == [False]  # nor is it to think


@pytest.mark.slow
async def test_failed_summary_is_reported_and_sends_nothing(store: TempStore) -> None:
    async with chat(filling([failure("Out of memory")]), store=store, settings=policy("summarize")) as it:
        for number in range(5):
            await it.ask(f"Question {number}")
        assert last(it)[1] == "failed"
        assert "The summary failed: Out of memory" in it.screen.conversation.path()[-1].error


@pytest.mark.slow
@pytest.mark.parametrize("key", ["y", "n"])
async def test_user_is_asked_before_turns_are_left_out(store: TempStore, key: str) -> None:
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


# ── the runner is just replaced ──────────────────────────────────────────────────────────────────


class _Renewing(ScriptedEngine):
    """Its runner is replaced after each reply; it is back when the model has been loaded twice."""

    loads = 0

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        async with aclosing(super().generate(model, request)) as events:
            async for event in events:
                if isinstance(event, ReplyFinished):
                    self.pool, self.loads = (), 0
                yield event

    async def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        self.loads += 1
        if self.loads == 2:
            self.pool = None
        async with aclosing(super().load(model)) as events:
            async for event in events:
                yield event


@pytest.mark.slow
@pytest.mark.parametrize("name", ["drop_oldest", "summarize", "ask"])
async def test_replaced_runner_does_not_send_the_whole_conversation(store: TempStore, name: str) -> None:
    engine = _Renewing(filling().scripts * 2, context_length=256)
    async with chat(engine, store=store, settings=policy(name)) as it:
        for number in range(5):
            it.prompt.insert(f"Question {number}")
            await it.press("enter")
            if name == "ask" and number == 4:
                await wait_until(lambda: isinstance(it.app.screen, ConfirmScreen))
                await it.press("y")
            await ended(it, number + 1)
        sent = "".join(message.text for message in engine.asked[-1])
        assert "Question 4" in sent
        assert "Question 0" not in sent


# ── a prompt that is longer than the context ─────────────────────────────────────────────────────


async def test_document_longer_than_the_context_suggests_how_many_pages_fit(store: TempStore) -> None:
    pages = (f"[page {number} of 4]\n{' '.join(['word'] * 100)}" for number in range(1, 5))
    async with chat(ScriptedEngine(context_length=256), store=store) as it:
        await it.ask("\n\n".join(pages))
        error = it.screen.conversation.path()[-1].error or ""
        assert "About 1 of the 4 pages fit: choose some, as in @paper.pdf#1-1." in error


async def test_too_long_prompt_is_restored_with_token_counts(store: TempStore) -> None:
    prompt = " ".join(["word"] * 300)
    async with chat(ScriptedEngine(context_length=256), store=store) as it:
        await it.ask("first")
        await it.ask(prompt)
        await wait_until(lambda: it.prompt.text == prompt)
        assert len(it.engine.asked) == 1
        error = it.screen.conversation.path()[-1].error or ""
        assert error.startswith("The prompt is longer than the context\n")
        assert "context has 256." in error
        it.prompt.replace_all("shorter")
        await it.press("enter")
        await wait_until(lambda: it.ended() == 3)
        assert it.turns == [
            ("user", "first"),
            ("assistant", "Yes."),
            ("user", "shorter"),
            ("assistant", "Yes."),
        ]


@pytest.mark.slow
async def test_pinned_turns_longer_than_the_context_are_rejected(store: TempStore) -> None:
    uncounted = [*reply("Yes.")[:-1], ReplyFinished(finish_reason="stop")]
    async with chat(ScriptedEngine([uncounted, uncounted], context_length=256), store=store) as it:
        for _ in range(2):
            await it.ask(" ".join(["word"] * 140))
        for turn in it.screen.conversation.path():
            it.screen.conversation.update_turn(replace(turn, pinned=True))
        await it.ask("And now?")
        await wait_until(lambda: it.prompt.text == "And now?")
        assert "longer than the context" in (it.screen.conversation.path()[-1].error or "")
        assert len(it.engine.asked) == 2
