"""Replies that repeat themselves."""

from __future__ import annotations

import asyncio

import pytest

from spnl_tui.models.repetition import repeated_part
from tests.support.chat_session import chat_without_screen
from tests.support.scripted_engine import ScriptedEngine, reply

SENTENCE = "The origin of the world can be found in the blood of the plum.\n\n"


@pytest.mark.parametrize(
    "text",
    [
        "A story. " + SENTENCE * 8,
        "so " + "I am here, I am here, and I am here. " * 20,
        "これは同じ文章の繰り返しです。" * 30,
        SENTENCE * 7 + SENTENCE[:20],
    ],
)
def test_endless_repetition_is_found(text: str) -> None:
    assert repeated_part(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        SENTENCE * 4,
        "-" * 2_000,
        "| 0 | 0 | 0 |\n" * 200,
        "la la la " * 30,
        "".join(f"{number}. Item number {number}\n" for number in range(400)),
        "Row, row, row your boat, gently down the stream.\n" * 3 + "Life is but a dream.\n" * 3,
        "".join(f"x[{number}] = {number * 7};\n" for number in range(400)),
    ],
)
def test_lists_rules_and_refrains_are_not_repetition(text: str) -> None:
    assert not repeated_part(text)


async def test_reply_that_repeats_itself_is_stopped_and_kept() -> None:
    endless = reply(SENTENCE * 200, pieces=200)
    async with chat_without_screen(ScriptedEngine([endless])) as chat:
        await chat.session.send("Tell me a story")
        await asyncio.wait_for(chat.saved(), 10)

        last = chat.session.conversation.path()[-1]
        assert last.finish_reason == "cancelled"
        assert last.error == "it repeated itself"
        assert len(last.text) < len(SENTENCE) * 20
