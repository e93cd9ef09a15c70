"""The search through all conversations, and the jump to what it found."""

from __future__ import annotations

import pytest
from textual.widgets import OptionList

from spnl_tui.ui.chat.turns import Reply
from spnl_tui.ui.conversations.search_screen import SearchScreen
from tests.support.conversations import conversation
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import TempStore, chat


async def test_search_jumps_to_a_turn_in_a_hidden_branch(
    store: TempStore,
) -> None:
    engine = ScriptedEngine([reply("A zebra."), reply("A horse.")])
    async with chat(engine, store=store) as it:
        await it.ask("An animal?")
        await it.press("ctrl+r")
        await wait_until(lambda: it.ended() == 2 and it.screen.activity.state == "idle")
        await it.press("ctrl+n")
        await wait_until(lambda: len(it.screen.conversation) == 0)
        await it.press("ctrl+f")
        await wait_until(lambda: isinstance(it.app.screen, SearchScreen))
        await it.press(*"zeb")
        hits = it.app.screen.query_one(OptionList)
        await wait_until(lambda: hits.option_count == 1)
        await it.press("enter")
        await wait_until(lambda: ("assistant", "A zebra.") in it.turns)
        await wait_until(lambda: [w.turn.text for w in it.transcript.query(".-cursor").results(Reply)])
        assert it.screen.conversation[it.transcript.query_one(".-cursor").name or ""].text == "A zebra."


@pytest.mark.slow
async def test_jump_far_up_mounts_only_nearby_turns(store: TempStore) -> None:
    long = conversation("Long", 400)
    long.update_turn(long.path()[20].with_text("Where is the needle?"))
    await (await store()).add(long)
    async with chat(store=store) as it:
        await it.press("ctrl+f")
        await wait_until(lambda: isinstance(it.app.screen, SearchScreen))
        await it.press(*"needle", "enter")  # faster than the search
        await wait_until(lambda: it.transcript.query(".-cursor"))
        found = it.transcript.query_one(".-cursor")
        await wait_until(lambda: it.transcript.region.contains_region(found.region) and found.region.height)
        assert len(it.transcript.query(Reply)) < 100
        await it.press("end")
        last = long.path()[-1].id
        await wait_until(lambda: any(w.name == last for w in it.transcript.query(Reply)))
        assert not it.transcript.query(".later")
        await it.ask("And now?")
        assert len(it.screen.conversation) == 402
