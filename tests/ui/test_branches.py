"""Branches of a conversation, with the real store: walked, edited, forked and deleted."""

from __future__ import annotations

import asyncio

import pytest
from textual.widgets import OptionList, Static

from spnl_tui.conversations.storage.store import Store
from spnl_tui.ui.chat.turns import Reply, UserTurn
from spnl_tui.ui.conversations.tree_screen import TreeScreen
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, disk_error, ended, go_to, kept, told, until_kept


def shown_places(it: Chat) -> list[str]:
    return [str(line.render()) for line in it.transcript.query(".siblings").results(Static)]


# ── siblings and turns ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_keys_walk_the_siblings_and_the_choice_is_stored(store: TempStore) -> None:
    engine = ScriptedEngine([reply("First."), reply("Second."), reply("Third.")])
    async with chat(engine, store=store) as it:
        await it.ask("Say something")
        for count in (2, 3):
            await it.press("ctrl+r")
            await wait_until(lambda count=count: it.ended() == count)
        assert shown_places(it) == ["◂ 3 of 3    Alt+←/→"]
        await it.press("alt+left")
        await wait_until(lambda: it.turns[-1] == ("assistant", "Second."))
        await wait_until(lambda: shown_places(it) == ["◂ 2 of 3 ▸  Alt+←/→"])
        await it.press("alt+left", "alt+left", "alt+left")
        await wait_until(lambda: it.turns[-1] == ("assistant", "First."))
        await wait_until(lambda: shown_places(it) == ["  1 of 3 ▸  Alt+←/→"])
        await it.ask("Go on")
        assert [m.text for m in it.engine.asked[-1]] == ["Say something", "First.", "Go on"]
    assert [text for _, text, _ in (await kept(store))[0]] == ["Say something", "First.", "Go on", "Yes."]


@pytest.mark.slow
@pytest.mark.parametrize("steps", [3, 6, 9])
async def test_reply_removed_while_it_is_mounted_ends_nothing(steps: int) -> None:
    """`steps`: turns of the event loop between the keys."""
    async with chat(ScriptedEngine([reply("First."), reply("Second."), reply("Third.")])) as it:
        await it.ask("Say something")
        await it.press("ctrl+r")
        await ended(it, 2)
        it.app.simulate_key("alt+left")
        for _ in range(steps):
            await asyncio.sleep(0)
        it.app.simulate_key("ctrl+r")
        await ended(it, 3)
        assert it.turns[-1] == ("assistant", "Third.")
        assert len(it.transcript.query(Reply)) == 1


@pytest.mark.slow
async def test_context_meter_shows_the_visible_branch(store: TempStore) -> None:
    engine = ScriptedEngine([reply("First."), reply("Second.", pieces=3)])
    async with chat(engine, store=store) as it:
        await it.ask("Say something")
        await it.press("ctrl+r")
        await wait_until(lambda: it.ended() == 2)
        assert it.screen.activity.context_used == 32
        await it.press("alt+left")
        await wait_until(lambda: it.screen.activity.context_used == 24)
        await it.press("alt+t")
        await wait_until(lambda: isinstance(it.app.screen, TreeScreen))
        await it.press("down", "enter")
        await wait_until(lambda: it.screen.activity.context_used == 32)
        assert it.turns[-1] == ("assistant", "Second.")
        assert it.screen.activity.tokens == 0  # the figures were those of another reply


@pytest.mark.slow
async def test_edited_prompt_begins_a_branch_and_the_old_one_stays(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Paris."), reply("Two million."), reply("Rome.")])
    async with chat(engine, store=store) as it:
        await it.ask("Capital of France?")
        await it.ask("How many people?")
        it.prompt.insert("a draft")
        await it.press("alt+up", "alt+up", "alt+up", "alt+up", "ctrl+e")
        await wait_until(lambda: it.prompt.text == "Capital of France?")
        await it.press("escape")
        await wait_until(lambda: it.prompt.text == "a draft")
        it.prompt.text = ""
        await it.press("alt+up", "alt+up", "alt+up", "alt+up", "ctrl+e")
        await wait_until(lambda: it.prompt.text == "Capital of France?")
        it.prompt.text = ""
        await it.ask("Capital of Italy?")
        assert it.turns == [("user", "Capital of Italy?"), ("assistant", "Rome.")]
        assert [m.text for m in it.engine.asked[-1]] == ["Capital of Italy?"]
        assert len(it.transcript.query(UserTurn)) == 1
        await it.press("alt+left")
        await wait_until(lambda: len(it.turns) == 4 and len(it.transcript.query(UserTurn)) == 2)
        assert it.turns[-1] == ("assistant", "Two million.")


async def test_fork_copies_the_branch_to_a_new_conversation(store: TempStore) -> None:
    async with chat(ScriptedEngine([reply("One."), reply("Two.")]), store=store) as it:
        await it.ask("First")
        await it.ask("Second")
        first = it.screen.conversation
        await it.press("alt+up", "alt+up", "alt+up", "alt+k")
        await wait_until(lambda: it.screen.conversation is not first)
        await wait_until(lambda: len(it.transcript.query(Reply)) == 1)
        assert it.turns == [("user", "First"), ("assistant", "One.")]
        assert sorted(map(len, await kept(store))) == [2, 4]


@pytest.mark.slow
async def test_deleted_turn_returns_on_undo(store: TempStore) -> None:
    async with chat(ScriptedEngine([reply("One."), reply("Two.")]), store=store) as it:
        await it.ask("First")
        await it.ask("Second")
        await it.press("alt+up", "alt+up", "alt+up", "alt+delete")
        await wait_until(lambda: [t for _, t in it.turns] == ["First", "Second", "Two."])
        await wait_until(lambda: len(it.transcript.query(Reply)) == 1)
        assert [text for _, text, _ in (await kept(store))[0]] == ["First", "Second", "Two."]
        await wait_until(lambda: [toast.title for toast in it.app._notifications] == ["Deleted: One."])
        await it.press("alt+u")
        await wait_until(lambda: [t for _, t in it.turns] == ["First", "One.", "Second", "Two."])
        await wait_until(lambda: len(it.transcript.query(Reply)) == 2)
        assert len((await kept(store))[0]) == 4
        assert not list(it.app._notifications)  # what it said is done


async def test_deletion_that_cannot_be_stored_is_reported_and_can_be_undone(
    store: TempStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "save_deletion", disk_error)
    async with chat(store=store) as it:
        await it.ask("First")
        await it.press("alt+up", "alt+delete")
        await wait_until(lambda: it.turns == [("user", "First")] and not it.transcript.query(Reply))
        await wait_until(lambda: "The disk is broken" in [toast.title for toast in it.app._notifications])
        await it.press("alt+u")
        await wait_until(lambda: it.turns == [("user", "First"), ("assistant", "Yes.")])


# ── the tree ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_tree_shows_every_branch_and_opens_the_chosen_turn(store: TempStore) -> None:
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
        await until_kept(it, store, lambda stored: [turn.text for turn in stored.path()] == texts)


@pytest.mark.slow
async def test_deleted_branch_returns_on_undo(store: TempStore) -> None:
    engine = ScriptedEngine([reply("Paris."), reply("Rome.")])
    async with chat(engine, store=store) as it:
        await it.ask("France?")
        await it.ask("Italy?")
        await go_to(it, "Paris.")
        await it.press("shift+delete")
        await wait_until(lambda: it.turns == [("user", "France?")])
        await until_kept(it, store, lambda stored: len(stored) == 1)
        await wait_until(lambda: told(it))
        await it.press("alt+u")
        texts = ["France?", "Paris.", "Italy?", "Rome."]
        await wait_until(lambda: [text for _, text in it.turns] == texts)
        await until_kept(it, store, lambda stored: [turn.text for turn in stored.path()] == texts)
