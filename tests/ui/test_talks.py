"""Conversations that last, with the real store: what is said is kept, found again, and walked back to."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import OptionList, Static

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.imports import read_file
from spnl_tui.conversations.store import Store
from spnl_tui.engine.protocol import ReplyFinished
from spnl_tui.ui.search_screen import SearchScreen
from spnl_tui.ui.text_screen import TextScreen
from spnl_tui.ui.tree_screen import TreeScreen
from spnl_tui.ui.widgets.status_line import StatusLine
from spnl_tui.ui.widgets.talks_list import TalksList
from spnl_tui.ui.widgets.turns import Reply, UserTurn
from tests.support.scripted_engine import ScriptedEngine, failure, reply
from tests.ui.support import Chat, TempStore, chat, disk_error, wait_until
from tests.ui.test_chat import held


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TempStore]:
    it = TempStore(tmp_path / "data" / "conversations.db")
    yield it
    await it.close()


async def kept(store: TempStore) -> list[list[tuple[str, str, str | None]]]:
    """What the store holds: role, text and finish reason of the active branch of each conversation."""
    opened = await store()
    page = await opened.list()
    branches = [(await opened.load(item.id)).path() for item in page.items]
    return [[(turn.role, turn.text, turn.finish_reason) for turn in branch] for branch in branches]


def in_file(file: Path, text: str) -> bool:
    """Whether another program would find a turn with this text."""
    with closing(sqlite3.connect(file)) as connection:
        return bool(connection.execute("SELECT 1 FROM turn WHERE text = ?", (text,)).fetchall())


async def test_what_is_said_is_kept_even_when_the_program_ends_in_between(store: TempStore) -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([reply("One."), [*reply("Tw")[:-1], hold]])
    async with chat(engine, store=store) as it:
        await it.ask("First")
        await it.ask("Second", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+q")
    assert await kept(store) == [
        [
            ("user", "First", None),
            ("assistant", "One.", "stop"),
            ("user", "Second", None),
            ("assistant", "Tw", "cancelled"),
        ]
    ]


async def test_a_prompt_is_kept_before_it_is_sent_and_a_reply_while_it_streams(store: TempStore) -> None:
    before, during = asyncio.Event(), asyncio.Event()
    async with chat(ScriptedEngine([[before, *reply("Half of it")[:-1], during]]), store=store) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.engine.asked)
        assert (await kept(store))[0][0] == ("user", "First", None)
        before.set()
        await wait_until(lambda: it.screen.activity.state == "replying")
        await wait_until(lambda: in_file(store.file, "Half of it"))
        assert (await kept(store))[0][1:] == [("assistant", "Half of it", None)]
        during.set()


async def test_a_reply_is_kept_with_where_it_came_from(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hi")
        turn = it.screen.conversation.path()[-1]
        assert turn.provenance is not None
        assert turn.provenance.model == "SmolLM2-135M-Instruct"
        assert '"threads": 1' in turn.provenance.load_plan
        assert turn.provenance.sampling == it.screen.conversation.sampling
        assert turn.provenance.prompt_sha256
        assert turn.provenance.started_at
        assert (turn.provenance.prompt_tokens, turn.provenance.completion_tokens) == (20, 4)
        assert turn.provenance.decode_tokens_per_s == 80.0
        await it.pilot.pause()
        stored = await (await store()).load(it.screen.conversation.id)
        await wait_until(lambda: it.screen.conversation[turn.id] == turn)
        assert stored[turn.id] == turn


async def test_earlier_prompts_come_back_from_the_store(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("First")
        await it.ask("Second")
    async with chat(store=store) as it:
        await wait_until(lambda: it.prompt.past.prompts)
        await it.press("up", "up")
        assert it.prompt.text == "First"


async def test_a_damaged_store_is_set_aside_and_named_at_the_start(store: TempStore) -> None:
    store.file.parent.mkdir()
    store.file.write_bytes(b"not a database" * 1000)
    async with chat(store=store) as it:
        await wait_until(lambda: it.app._notifications)
        (toast,) = it.app._notifications
        assert ".aside-" in toast.message
        await it.ask("Hi")
        assert len(await kept(store)) == 1


# ── the list ─────────────────────────────────────────────────────────────────────────────────────


async def three(store: TempStore) -> None:
    """Three conversations: Apples, Pears, Plums, the last one the latest."""
    opened = await store()
    for name in ("Apples", "Pears", "Plums"):
        await opened.add(conversation(name))


def conversation(name: str, turns: int = 2) -> Conversation:
    it = Conversation(title=name)
    for number in range(turns):
        if number % 2:
            it.finish(it.add_turn("assistant", f"A reply about {name.lower()}.").id, "stop")
        else:
            it.add_turn("user", f"Question {number // 2} about {name.lower()}?")
    return it


def titles(it: Chat) -> list[str]:
    return [item.title for item in it.screen.chat.talks_list.items]


async def open_list(it: Chat) -> TalksList:
    await it.press("f5")
    await wait_until(lambda: it.screen.chat.talks_list.items)
    await it.pilot.pause()
    return it.screen.chat.talks_list


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_a_conversation_is_opened_from_the_list_and_goes_on(
    store: TempStore, size: tuple[int, int]
) -> None:
    await three(store)
    async with chat(store=store, size=size) as it:
        listed = await open_list(it)
        assert titles(it) == ["Plums", "Pears", "Apples"]
        assert it.app.focused is listed
        await it.press("down", "enter")
        await wait_until(lambda: it.screen.conversation.title == "Pears")
        assert it.app.focused is it.prompt
        assert listed.display == (size[0] > 80)
        await it.ask("More")
        assert [m.content for m in it.engine.asked[0]] == [
            "Question 0 about pears?",
            "A reply about pears.",
            "More",
        ]
        assert (await kept(store))[0][-2:] == [("user", "More", None), ("assistant", "Yes.", "stop")]


async def test_rename_pin_archive_delete_and_undo_in_the_list(store: TempStore) -> None:
    await three(store)
    async with chat(store=store) as it:
        await open_list(it)
        await it.press("down", "p")
        await wait_until(lambda: titles(it) == ["Pears", "Plums", "Apples"])
        await it.press("r")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        await it.press("ctrl+u", *"Figs", "enter")
        await wait_until(lambda: titles(it) == ["Figs", "Plums", "Apples"])
        await it.press("down", "a")
        await wait_until(lambda: titles(it) == ["Figs", "Apples"])
        await it.press("A")
        await wait_until(lambda: titles(it) == ["Plums"])
        await it.press("a", "A")
        await wait_until(lambda: titles(it) == ["Figs", "Plums", "Apples"])
        await it.press("home", "d")
        await wait_until(lambda: titles(it) == ["Plums", "Apples"])
        await it.press("d")
        await wait_until(lambda: titles(it) == ["Apples"])
        await it.press("u")
        await wait_until(lambda: titles(it) == ["Plums", "Apples"])
        await it.press("u")
        await wait_until(lambda: titles(it) == ["Figs", "Plums", "Apples"])
    await store.close()
    assert [item.title for item in (await (await store()).list()).items] == ["Figs", "Plums", "Apples"]


async def test_the_list_is_read_page_by_page(store: TempStore) -> None:
    opened = await store()
    for number in range(130):
        await opened.add(conversation(f"Number {number}", 1))
    async with chat(store=store) as it:
        listed = await open_list(it)
        assert 50 <= len(titles(it)) < 130
        for _ in range(3):
            await it.press("end")
            await it.pilot.pause()
        await wait_until(lambda: len(titles(it)) == 130)
        assert len(set(titles(it))) == 130
        assert listed.option_count == 130


@pytest.mark.parametrize(("size", "beside"), [((120, 40), True), ((80, 24), False)])
async def test_the_list_is_beside_the_chat_where_there_is_room(
    store: TempStore, size: tuple[int, int], beside: bool
) -> None:
    async with chat(store=store, size=size) as it:
        await it.ask("Hello")
        await it.press("f5")
        await wait_until(lambda: len(it.screen.query_one(TalksList).items) == 1)
        await it.pilot.pause()
        assert (it.transcript.region.x >= it.screen.query_one(TalksList).region.right) == beside
        assert (it.prompt.region.x >= it.screen.query_one(TalksList).region.right) == beside


async def test_a_list_that_cannot_be_read_is_told_and_the_chat_goes_on(
    store: TempStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await store()
    for number in range(70):
        await opened.add(conversation(f"Number {number}", 1))
    async with chat(store=store, size=(200, 60)) as it:
        await open_list(it)
        count = len(titles(it))
        with monkeypatch.context() as broken:
            broken.setattr(Store, "list", disk_error)
            await it.press("end")  # which asks for more
            await wait_until(lambda: it.app._notifications)
            await it.press("escape")
            await it.ask("Hi")
            assert it.turns == [("user", "Hi"), ("assistant", "Yes.")]
            assert len(titles(it)) == count
            assert {toast.title for toast in it.app._notifications} == {"The disk is broken"}
        await it.ask("And now?")
        await wait_until(lambda: titles(it)[0] == "Hi")


async def test_the_conversation_that_is_seen_is_deleted_and_brought_back(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("First")
        await it.pilot.app.run_action("screen.talk('delete')")
        await wait_until(lambda: len(it.screen.conversation) == 0)
        assert await kept(store) == []
        await it.press("alt+u")
        await wait_until(lambda: it.turns == [("user", "First"), ("assistant", "Yes.")])
        assert len(await kept(store)) == 1


async def test_the_title_comes_from_the_first_prompt_and_a_given_one_stays(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hello, can you tell me about Paris?\nAnd more")
        assert it.screen.conversation.title == "Tell me about Paris?"
        await it.pilot.app.run_action("screen.talk('rename')")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        await it.press("ctrl+u", *"Mine", "enter")
        await wait_until(lambda: it.screen.conversation.title == "Mine")
        await it.ask("More")
        assert (await (await store()).list()).items[0].title == "Mine"


async def test_the_last_conversation_is_one_key_away(store: TempStore) -> None:
    await three(store)
    async with chat(store=store) as it:
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.title == "Plums")
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.title == "Pears")


@pytest.mark.parametrize("beginning", [0, 12])
async def test_resume(store: TempStore, beginning: int) -> None:
    await three(store)
    ids = await (await store()).find()
    async with chat(store=store, resume=ids[0] if beginning else "") as it:
        await wait_until(lambda: it.screen.conversation.title == "Plums")
        assert it.turns[0] == ("user", "Question 0 about plums?")


async def test_resume_of_what_is_not_there_says_so(store: TempStore) -> None:
    async with chat(store=store, resume="ffff") as it:
        await wait_until(lambda: it.app._notifications)
        assert "No such conversation" in [toast.title for toast in it.app._notifications]


async def test_a_reply_goes_on_while_another_conversation_is_seen_and_can_be_gone_back_to(
    store: TempStore,
) -> None:
    await three(store)
    first, last = asyncio.Event(), asyncio.Event()
    steps = reply("Half and half.", pieces=2)
    engine = ScriptedEngine([[*steps[:2], first, steps[2], last, steps[3]], reply("Then.")])
    async with chat(engine, store=store) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        live = it.screen.conversation
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.title == "Plums")
        assert it.screen.activity.state == "idle"
        first.set()
        await wait_until(lambda: live.path()[-1].text == "Half and half.")
        await wait_until(lambda: in_file(store.file, "Half and half."))
        assert it.turns[-1] == ("assistant", "A reply about plums.")
        # What is opened is the conversation that streams, not what the store has of it.
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation is live)
        await wait_until(lambda: (last := it.transcript.last_reply()) and last.turn.text == "Half and half.")
        assert it.screen.activity.state == "replying"
        await it.ask("Second", wait=False)
        assert len(it.engine.asked) == 1
        last.set()
        await wait_until(lambda: it.ended() == 2 and not it.screen.replying)
        assert it.turns[1:] == [("assistant", "Half and half."), ("user", "Second"), ("assistant", "Then.")]


async def test_a_prompt_that_waits_in_a_conversation_out_of_sight_is_answered_there(store: TempStore) -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([[hold, *reply("One.")], reply("Two.")]), store=store) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.replying)
        await it.ask("Second", wait=False)
        old = it.screen.conversation
        await it.press("ctrl+n")
        await wait_until(lambda: it.screen.conversation is not old)
        hold.set()
        await wait_until(lambda: it.ended() == 2)
        assert [turn.text for turn in old.path()] == ["First", "One.", "Second", "Two."]
        assert it.turns == []
        assert it.prompt.text == ""


async def test_a_prompt_that_waited_for_a_reply_that_failed_out_of_sight_is_given_back(
    store: TempStore,
) -> None:
    hold = asyncio.Event()
    script = [*held("One", hold)[:-1], failure("Broken")]
    async with chat(ScriptedEngine([script]), store=store) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.ask("Second", wait=False)
        await wait_until(lambda: it.screen.query(".queued"))
        old = it.screen.conversation
        await it.press("ctrl+n")
        await wait_until(lambda: it.screen.conversation is not old)
        hold.set()
        await wait_until(lambda: it.ended() == 1)
        await it.pilot.pause()
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.id == old.id)
        await wait_until(lambda: it.prompt.text == "Second")
        assert it.turns == [("user", "First"), ("assistant", "One")]
        assert not it.screen.query(".queued")
        await it.press("enter")
        await wait_until(lambda: it.ended() == 2)
        assert it.turns[2:] == [("user", "Second"), ("assistant", "Yes.")]


async def test_deleting_a_conversation_stops_its_reply(store: TempStore) -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([[*reply("Half")[:-1], hold]]), store=store) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+n")
        await wait_until(lambda: not it.turns)
        await open_list(it)
        await it.press("d")
        await wait_until(lambda: it.engine.cancelled == 1 and not titles(it))
        assert await kept(store) == []


# ── branches ─────────────────────────────────────────────────────────────────────────────────────


async def test_siblings_are_walked_by_key_and_the_choice_is_kept(store: TempStore) -> None:
    engine = ScriptedEngine([reply("First."), reply("Second."), reply("Third.")])
    async with chat(engine, store=store) as it:
        await it.ask("Say something")
        for count in (2, 3):
            await it.press("ctrl+r")
            await wait_until(lambda count=count: it.ended() == count)
        assert shown_places(it) == ["◂ 3/3  "]
        await it.press("alt+left")
        await wait_until(lambda: it.turns[-1] == ("assistant", "Second."))
        await wait_until(lambda: shown_places(it) == ["◂ 2/3 ▸"])
        await it.press("alt+left", "alt+left", "alt+left")
        await wait_until(lambda: it.turns[-1] == ("assistant", "First."))
        await wait_until(lambda: shown_places(it) == ["  1/3 ▸"])
        await it.ask("Go on")
        assert [m.content for m in it.engine.asked[-1]] == ["Say something", "First.", "Go on"]
    assert [text for _, text, _ in (await kept(store))[0]] == ["Say something", "First.", "Go on", "Yes."]


async def test_the_context_is_that_of_the_branch_that_is_seen(store: TempStore) -> None:
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


def shown_places(it: Chat) -> list[str]:
    return [str(line.render()) for line in it.transcript.query(".siblings").results(Static)]


async def test_an_earlier_prompt_is_edited_and_the_old_branch_stays(store: TempStore) -> None:
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
        assert [m.content for m in it.engine.asked[-1]] == ["Capital of Italy?"]
        assert len(it.transcript.query(UserTurn)) == 1
        await it.press("alt+left")
        await wait_until(lambda: len(it.turns) == 4 and len(it.transcript.query(UserTurn)) == 2)
        assert it.turns[-1] == ("assistant", "Two million.")


async def test_fork(store: TempStore) -> None:
    async with chat(ScriptedEngine([reply("One."), reply("Two.")]), store=store) as it:
        await it.ask("First")
        await it.ask("Second")
        first = it.screen.conversation
        await it.press("alt+up", "alt+up", "alt+up", "alt+k")
        await wait_until(lambda: it.screen.conversation is not first)
        await wait_until(lambda: len(it.transcript.query(Reply)) == 1)
        assert it.turns == [("user", "First"), ("assistant", "One.")]
        assert sorted(map(len, await kept(store))) == [2, 4]


async def test_a_turn_is_deleted_and_brought_back(store: TempStore) -> None:
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


# ── search, export ───────────────────────────────────────────────────────────────────────────────


async def test_a_deletion_that_cannot_be_kept_is_told_and_seen_and_can_be_undone(
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


async def test_search_finds_a_word_and_jumps_to_the_turn_also_in_a_branch_that_is_not_seen(
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


async def test_a_jump_far_up_mounts_only_what_is_near_and_end_shows_the_rest(store: TempStore) -> None:
    long = conversation("Long", 400)
    long.update_turn(replace(long.path()[20], text="Where is the needle?"))
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


async def test_export_to_files_in_this_directory(
    store: TempStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with chat(store=store) as it:
        await it.ask("Where is ../../Paris?")
        await it.press("alt+s", "alt+s", "alt+j")
        names = ["where-is-paris.md", "where-is-paris-2.md", "where-is-paris.json"]
        await wait_until(lambda: all((tmp_path / name).exists() for name in names))
        assert "Yes." in (tmp_path / names[0]).read_text()
        (again,) = read_file(tmp_path / names[2])
        await it.pilot.pause()
        assert again.path() == it.screen.conversation.path()
        await wait_until(lambda: any(names[2] in toast.message for toast in it.app._notifications))


# ── a full context ───────────────────────────────────────────────────────────────────────────────


def engine_of(context: int, replies: int) -> ScriptedEngine:
    """Long replies. The engine reports no counts of its own, which would correct the meter's."""
    script = reply(" ".join(["word"] * 40))
    script[-1] = ReplyFinished(id=1, finish_reason="stop")
    return ScriptedEngine([list(script) for _ in range(replies)], context_length=context)


async def test_the_oldest_turns_are_left_out_with_a_marker_and_stay_stored(store: TempStore) -> None:
    async with chat(engine_of(256, 8), store=store) as it:
        for number in range(6):
            await it.ask(f"Question number {number}")
        last = it.screen.conversation.path()[-1]
        assert last.provenance is not None
        assert last.provenance.left_out
        assert "Question number 0" not in [m.content for m in it.engine.asked[-1]]
        marked = it.transcript.query(".-memory").first()
        begins = it.screen.conversation[marked.name or ""]
        assert it.engine.asked[-1][0].content == begins.text
        assert len((await kept(store))[0]) == 12
    async with chat(store=store, resume="") as it:
        await wait_until(lambda: it.transcript.query(".-memory"))
        assert it.screen.conversation[it.transcript.query(".-memory").first().name or ""] == begins


async def test_the_unsent_prompt_is_counted(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hi")
        it.prompt.insert("three more words")
        await wait_until(lambda: it.screen.activity.unsent == 3)
        assert "ctx 24+3/8.2k" in str(it.screen.query_one(StatusLine).render())
        it.prompt.text = ""
        await wait_until(lambda: it.screen.activity.unsent == 0)
