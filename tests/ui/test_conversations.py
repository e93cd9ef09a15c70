"""Conversations that last, with the real store: listed, opened again, renamed, deleted, exported."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
from textual import events

from spnl_tui.conversations.exchange.imports import read_file
from spnl_tui.conversations.storage.store import Store
from spnl_tui.ui.conversations.list import ConversationList, day_group
from spnl_tui.ui.dialogs.text_screen import TextScreen
from tests.support.conversations import conversation
from tests.support.scripted_engine import ScriptedEngine, failure, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, disk_error, held, in_file, kept


async def three(store: TempStore) -> None:
    """Three conversations: Apples, Pears, Plums, the last one the latest."""
    opened = await store()
    for name in ("Apples", "Pears", "Plums"):
        await opened.add(conversation(name))


def titles(it: Chat) -> list[str]:
    return [item.title for item in it.screen.chat.conversation_list.items]


async def open_list(it: Chat) -> ConversationList:
    await it.press("f5")
    await wait_until(lambda: it.screen.chat.conversation_list.items)
    await it.pilot.pause()
    return it.screen.chat.conversation_list


# ── the list ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_conversation_opened_from_the_list_continues(store: TempStore, size: tuple[int, int]) -> None:
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
        assert [m.text for m in it.engine.asked[0]] == [
            "Question 0 about pears?",
            "A reply about pears.",
            "More",
        ]
        assert (await kept(store))[0][-2:] == [("user", "More", None), ("assistant", "Yes.", "stop")]


@pytest.mark.slow
async def test_list_renames_pins_archives_deletes_and_undoes(store: TempStore) -> None:
    await three(store)
    async with chat(store=store) as it:
        await open_list(it)
        await it.press("down", "alt+p")
        await wait_until(lambda: titles(it) == ["Pears", "Plums", "Apples"])
        await it.press("f6")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        await it.press("ctrl+u", *"Figs", "enter")
        await wait_until(lambda: titles(it) == ["Figs", "Plums", "Apples"])
        await it.press("down", "alt+a")
        await wait_until(lambda: titles(it) == ["Figs", "Apples"])
        await it.press("alt+v")
        await wait_until(lambda: titles(it) == ["Plums"])
        await it.press("alt+a", "alt+v")
        await wait_until(lambda: titles(it) == ["Figs", "Plums", "Apples"])
        await it.press("home", "delete")
        await wait_until(lambda: titles(it) == ["Plums", "Apples"])
        await it.press("delete")
        await wait_until(lambda: titles(it) == ["Apples"])
        await it.press("ctrl+z")
        await wait_until(lambda: titles(it) == ["Plums", "Apples"])
        await it.press("ctrl+z")
        await wait_until(lambda: titles(it) == ["Figs", "Plums", "Apples"])
    await store.close()
    assert [item.title for item in (await (await store()).list()).items] == ["Figs", "Plums", "Apples"]


@pytest.mark.slow
async def test_letters_in_the_list_filter_it_and_run_no_command(store: TempStore) -> None:
    await three(store)
    async with chat(store=store) as it:
        listed = await open_list(it)
        await it.press(*"PÉARS", "enter")
        await wait_until(lambda: it.screen.conversation.title == "Pears")
        await open_list(it)
        assert titles(it) == ["Plums", "Pears", "Apples"]
        await it.press(*"ple")
        await wait_until(lambda: titles(it) == ["Apples"])
        await it.press("backspace")
        await wait_until(lambda: titles(it) == ["Plums", "Apples"])
        await it.press("escape")
        await wait_until(lambda: titles(it) == ["Plums", "Pears", "Apples"])
        assert it.app.focused is listed
        assert it.app.screen is it.screen


@pytest.mark.slow
async def test_question_typed_in_the_list_goes_to_the_prompt(store: TempStore) -> None:
    await three(store)
    async with chat(store=store) as it:
        await open_list(it)
        await it.press(*"radar update?")
        await wait_until(lambda: not titles(it))
        await it.press("escape")
        await wait_until(lambda: it.app.focused is it.prompt)
        assert it.prompt.text == "radar update?"
        assert it.app.screen is it.screen


@pytest.mark.slow
async def test_long_paste_in_the_list_goes_to_the_prompt(store: TempStore) -> None:
    await three(store)
    async with chat(store=store) as it:
        await open_list(it)
        it.app.post_message(events.Paste("first\nsecond"))
        await wait_until(lambda: it.prompt.text == "first\nsecond")
        assert it.app.focused is it.prompt


@pytest.mark.slow
async def test_list_is_read_page_by_page(store: TempStore) -> None:
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
        assert len(listed.items) == 130


@pytest.mark.slow
@pytest.mark.parametrize(("size", "beside"), [((120, 40), True), ((80, 24), False)])
async def test_wide_terminal_shows_the_list_beside_the_chat(
    store: TempStore, size: tuple[int, int], beside: bool
) -> None:
    async with chat(store=store, size=size) as it:
        await it.ask("Hello")
        await it.press("f5")
        await wait_until(lambda: len(it.screen.query_one(ConversationList).items) == 1)
        await it.pilot.pause()
        assert (it.transcript.region.x >= it.screen.query_one(ConversationList).region.right) == beside
        assert (it.prompt.region.x >= it.screen.query_one(ConversationList).region.right) == beside


@pytest.mark.slow
async def test_list_that_cannot_be_read_is_reported_and_the_chat_continues(
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


# ── the one that is seen ─────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_visible_conversation_is_deleted_and_restored(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("First")
        await it.pilot.app.run_action("command('talks.delete')")
        await wait_until(lambda: len(it.screen.conversation) == 0)
        assert await kept(store) == []
        await it.press("alt+u")
        await wait_until(lambda: it.turns == [("user", "First"), ("assistant", "Yes.")])
        assert len(await kept(store)) == 1


@pytest.mark.slow
async def test_title_is_the_first_prompt_unless_the_user_gives_one(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hello, can you tell me about Paris?\nAnd more")
        assert it.screen.conversation.title == "Tell me about Paris?"
        await it.pilot.app.run_action("command('talks.rename')")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
        await it.press("ctrl+u", *"Mine", "enter")
        await wait_until(lambda: it.screen.conversation.title == "Mine")
        await it.ask("More")
        assert (await (await store()).list()).items[0].title == "Mine"


async def test_key_opens_the_last_conversation(store: TempStore) -> None:
    await three(store)
    async with chat(store=store) as it:
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.title == "Plums")
        await it.press("ctrl+s")
        await wait_until(lambda: it.screen.conversation.title == "Pears")


@pytest.mark.parametrize("beginning", [0, 12])
async def test_resume_opens_the_conversation(store: TempStore, beginning: int) -> None:
    await three(store)
    ids = await (await store()).find()
    async with chat(store=store, resume=ids[0] if beginning else "") as it:
        await wait_until(lambda: it.screen.conversation.title == "Plums")
        assert it.turns[0] == ("user", "Question 0 about plums?")


async def test_resume_of_a_missing_conversation_is_reported(store: TempStore) -> None:
    async with chat(store=store, resume="ffff") as it:
        await wait_until(lambda: it.app._notifications)
        assert "No such conversation" in [toast.title for toast in it.app._notifications]


@pytest.mark.slow
async def test_export_writes_files_to_this_directory(
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


# ── those out of sight ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_reply_continues_while_another_conversation_is_visible(
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


@pytest.mark.slow
async def test_queued_prompt_in_a_hidden_conversation_is_answered_there(store: TempStore) -> None:
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


@pytest.mark.slow
async def test_queued_prompt_returns_when_a_hidden_reply_fails(
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


@pytest.mark.slow
async def test_deleting_a_conversation_stops_its_reply(store: TempStore) -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([[*reply("Half")[:-1], hold]]), store=store) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+n")
        await wait_until(lambda: not it.turns)
        await open_list(it)
        await it.press("delete")
        await wait_until(lambda: it.engine.cancelled == 1 and not titles(it))
        assert await kept(store) == []


@pytest.mark.slow
async def test_list_groups_by_day_and_marks_replies_out_of_sight(store: TempStore) -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold)]), store=store) as it:
        await it.ask("Slow question", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+n", "f5")
        listed = it.screen.chat.conversation_list

        def lines() -> list[str]:
            return [str(option.prompt) for option in listed.options]

        await wait_until(lambda: any(line.startswith(" ● Slow question") for line in lines()))
        assert lines()[0] == "Today"
        hold.set()
        await wait_until(lambda: any(line.startswith(" ◦ Slow question") for line in lines()))
        await it.press("home", "enter")
        await wait_until(lambda: it.screen.conversation.title == "Slow question")
        await it.press("f5")
        await wait_until(lambda: any(line.startswith("▸  Slow question") for line in lines()))


@pytest.mark.parametrize(
    ("days", "group"),
    [(0, "Today"), (1, "Yesterday"), (3, "Last 7 days"), (20, "Last 30 days"), (400, "November 2023")],
)
def test_day_group_names_the_day_or_the_month(days: int, group: str) -> None:
    now = datetime(2024, 12, 20, 12).timestamp()
    assert day_group(now - days * 86_400, now) == group
