"""Long conversations."""

from __future__ import annotations

import pytest
from textual.widget import Widget

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.ui.chat.turns import Reply, UserTurn
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat


async def show_long(it: Chat, turns: int) -> Conversation:
    conversation = Conversation()
    for number in range(turns // 2):
        conversation.add_turn("user", f"Question {number}")
        reply = conversation.add_turn("assistant", f"Answer {number}.\n\n" + "More of it. " * 40)
        conversation.finish(reply.id, "stop")
    it.screen.chat.show_welcome(False)
    await it.transcript.show(conversation.path())
    await it.pilot.pause()
    return conversation


def mounted(it: Chat) -> list[Widget]:
    return [*it.screen.query(UserTurn), *it.screen.query(Reply)]


async def test_long_conversation_mounts_only_its_end() -> None:
    async with chat() as it:
        await show_long(it, 1000)
        assert 4 <= len(mounted(it)) <= 60
        transcript = it.transcript
        await wait_until(lambda: transcript.max_scroll_y and transcript.scroll_y == transcript.max_scroll_y)


async def test_scrolling_up_mounts_earlier_turns_and_keeps_the_position() -> None:
    async with chat() as it:
        conversation = await show_long(it, 200)
        path = [turn.id for turn in conversation.path()]
        transcript = it.transcript
        await wait_until(lambda: transcript.max_scroll_y)
        count = len(mounted(it))
        first = next(iter(transcript.query(UserTurn)))
        transcript.scroll_to(y=0, animate=False)
        await wait_until(lambda: len(mounted(it)) > count)
        # What was at the top still is, with the older turns above it.
        await wait_until(lambda: transcript.scroll_y > 0)
        await it.pilot.pause()
        assert abs(first.region.y - transcript.region.y) <= 2
        names = [widget.name for widget in transcript.query("UserTurn, Reply")]
        assert names == path[-len(names) :]


@pytest.mark.slow
async def test_whole_conversation_can_be_reached() -> None:
    async with chat() as it:
        conversation = await show_long(it, 60)
        for _ in range(20):
            if len(mounted(it)) == len(conversation):
                break
            it.transcript.scroll_to(y=5, animate=False)
            it.transcript.scroll_to(y=0, animate=False)
            await it.pilot.pause()
        assert len(mounted(it)) == len(conversation)
