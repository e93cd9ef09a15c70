"""Verdicts on replies, and merges of them."""

from __future__ import annotations

import asyncio
import json

import pytest

from spnl_tui.ui.dialogs.text_screen import TextScreen
from tests.support.scripted_engine import ScriptedEngine, Step, failure, reply
from tests.support.waiting import wait_until
from tests.ui.candidates_support import cards, command, foot, heads, many, replies, three
from tests.ui.support import TempStore, chat, held


def verdict(best: int) -> str:
    return json.dumps({"reason": "It is the shortest one.", "best": best})


@pytest.mark.slow
async def test_judge_highlights_the_best_and_gives_reasons_without_picking() -> None:
    engine = three()
    engine.scripts.append(reply(verdict(3)))
    async with chat(engine) as it:
        await many(it)
        await command(it, "/judge brevity")
        await wait_until(lambda: "★ 3" in foot(it))
        assert "It is the shortest one." in foot(it)
        assert heads(it)[2].startswith("*★ 3")
        assert it.turns[-1] == ("assistant", "Three.")
        # What the judge has read is not in the conversation's context.
        assert (it.screen.activity.context_used, it.screen.activity.tokens) == (24, 0)
        _, sampling, grammar = engine.requests[-1]
        assert sampling.temperature == 0
        assert grammar is not None
        asked = engine.asked[-1][-1].text
        assert "Reply 2:\nTwo." in asked
        assert "Criteria: brevity" in asked
        assert len(replies(it)) == 3


@pytest.mark.slow
async def test_criteria_can_be_edited() -> None:
    engine = three()
    engine.scripts.append(reply(verdict(2)))
    async with chat(engine) as it:
        await many(it)
        await it.press("alt+v")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        await it.press("end", *" and warm", "enter")
        await wait_until(lambda: "★ 2" in foot(it))
        assert "correct, clear, and to the point and warm" in engine.asked[-1][-1].text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "says"),
    [
        (reply("I cannot say"), "gave no verdict"),
        (reply(verdict(4)), "gave no verdict"),
        ([failure("The context is full")], "The context is full"),
    ],
)
async def test_judge_without_a_verdict_is_reported(script: list[Step], says: str) -> None:
    engine = three()
    engine.scripts.append(script)
    async with chat(engine) as it:
        await many(it)
        await command(it, "/judge brevity")
        await wait_until(lambda: says in foot(it))
        assert it.turns[-1] == ("assistant", "One.")
        assert it.screen.activity.state == "idle"


@pytest.mark.slow
async def test_stopped_judge_leaves_nothing_running() -> None:
    hold = asyncio.Event()
    engine = three()
    engine.scripts.append(held("{", hold))
    async with chat(engine) as it:
        await many(it)
        await command(it, "/judge brevity")
        await wait_until(lambda: len(engine.asked) == 4 and it.screen.activity.state == "replying")
        await it.press("escape")
        await wait_until(lambda: engine.cancelled == 1)
        await wait_until(lambda: not it.screen.replying)
        assert "Judging" not in foot(it)


async def test_sibling_replies_can_be_judged_later() -> None:
    engine = ScriptedEngine([reply("One."), reply("Two."), reply(verdict(1))])
    async with chat(engine) as it:
        await it.ask("Hi")
        await it.press("ctrl+r")
        await wait_until(lambda: it.ended() == 2)
        await command(it, "/judge brevity")
        await wait_until(lambda: "★ 1" in foot(it))
        assert heads(it)[0].startswith("*★ 1")


@pytest.mark.slow
async def test_merge_adds_a_candidate(store: TempStore) -> None:
    engine = three()
    engine.scripts.append(reply("All of them."))
    async with chat(engine, store=store) as it:
        await many(it)
        await it.press("alt+g")
        await wait_until(lambda: it.ended() == 4)
        await it.pilot.pause()
        assert heads(it)[3].startswith("*4 merged done")
        assert "Reply 3:\nThree." in engine.asked[-1][-1].text
        await it.press("enter")
        await wait_until(lambda: not cards(it))
        assert it.turns[-1] == ("assistant", "All of them.")
        assert len(replies(it)) == 4


async def test_single_reply_is_not_judged() -> None:
    async with chat() as it:
        await it.ask("Hi")
        for name in ("judge", "merge"):
            assert not it.available(f"many.{name}")
