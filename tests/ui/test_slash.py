"""Commands that are typed in the prompt."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from spnl_tui.conversations.slash_text import looks_like_command, with_escape, without_escape
from spnl_tui.errors import CommandError
from spnl_tui.ui.commands.registry import COMMANDS, CommandRegistry
from spnl_tui.ui.conversations.search_screen import SearchScreen
from spnl_tui.ui.dialogs.help_screen import HelpScreen
from spnl_tui.ui.dialogs.text_screen import TextScreen
from spnl_tui.ui.main_screen import MainScreen
from tests.support.pictures import ask, both_sizes, finished, snapshot
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.candidates_support import OTHER
from tests.ui.support import TempStore, chat, held, make_app, offered, told


def test_slash_names_are_unique_and_in_the_palette() -> None:
    named = [command for command in COMMANDS if command.slash]
    assert max(Counter(name for command in COMMANDS for name in command.names).values()) == 1
    for command in named:
        for name in command.names:
            assert looks_like_command(f"/{name}")
            assert name == name.lower()
        assert command.palette or command.id == "chat.stop"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/2",
        "/ new",
        "/etc/hosts is what?",
        "/usr/bin",
        "x /new",
        "/new: what is it?",
        "/naïve",
        "//",
    ],
)
def test_text_that_is_not_a_command_is_sent(text: str) -> None:
    assert CommandRegistry().read(text) is None
    assert with_escape(text) == without_escape(text) == text


def test_command_is_recognized() -> None:
    call = CommandRegistry().read("/Rename  A better\ntitle ")
    assert call is not None
    assert (call.command, call.argument) == ("talks.rename", "A better\ntitle")
    for text, says in [("/renam it", "/rename?"), ("/new one", "takes no argument"), ("/zzz", "/zzz")]:
        with pytest.raises(CommandError, match=says):
            CommandRegistry().read(text)


@pytest.mark.parametrize("text", ["/new", "//new", "///new", "/frob x"])
def test_text_that_looks_like_a_command_can_be_sent(text: str) -> None:
    assert CommandRegistry().read(with_escape(text)) is None
    assert without_escape(with_escape(text)) == text


@pytest.mark.slow
async def test_typed_name_is_offered_and_completed() -> None:
    async with chat() as it:
        await it.press(*"/he")
        assert offered(it)[0] == "/help"
        await it.press("tab")
        assert (it.prompt.text, offered(it)) == ("/help", ["/help"])
        await it.press("enter")
        await wait_until(lambda: isinstance(it.app.screen, HelpScreen))
        assert (it.prompt.text, offered(it)) == ("", [])


@pytest.mark.slow
async def test_enter_runs_the_highlighted_command() -> None:
    async with chat() as it:
        await it.press(*"/th")
        assert offered(it)[0] == "/theme"
        labels = offered(it)
        await it.press("up", "down")
        assert offered(it) == labels
        await it.press("backspace", "backspace", "down")
        first = offered(it)[0]
        await it.press("tab")
        assert it.prompt.text.strip() == first.split()[0]
        assert it.turns == []


@pytest.mark.slow
async def test_similar_name_is_offered_but_not_run() -> None:
    async with chat() as it:
        await it.press(*"/hlp", "enter")
        assert offered(it) == ["/help"]
        assert it.prompt.text == "/hlp"
        await wait_until(lambda: told(it))
        assert "Did you mean /help?" in told(it)[0]
        await it.press("down", "enter")
        await wait_until(lambda: isinstance(it.app.screen, HelpScreen))


@pytest.mark.slow
async def test_keys_that_were_typed_ahead_find_the_list(tmp_path: Path) -> None:
    store = TempStore(tmp_path / "c.db")
    async with chat(store=store) as it:
        await it.ask("Hi")
        for key in [*"/renam", "enter", *"Better name", "enter"]:
            it.app.simulate_key(key)
        await wait_until(lambda: it.screen.conversation.title == "Better name")
        assert it.prompt.text == ""
        await it.press(*"/rename", "enter")
        await wait_until(lambda: isinstance(it.app.screen, TextScreen))
    await store.close()


async def test_keys_of_the_text_area_keep_their_order() -> None:
    async with chat() as it:
        for key in [
            *"wrong",
            "ctrl+u",
            *"teh",
            "backspace",
            "backspace",
            *"he",
            "left",
            "left",
            "x",
            "enter",
        ]:
            it.app.simulate_key(key)
        await wait_until(it.ended)
        assert it.turns[0] == ("user", "txhe")


@pytest.mark.slow
async def test_escape_closes_the_list_and_nothing_else() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold)])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press(*"/he")
        assert offered(it)
        await it.press("escape")
        assert (offered(it), it.prompt.text, it.screen.activity.state) == ([], "/he", "replying")
        await it.press("l")
        assert offered(it)
        await it.press("left")
        assert offered(it) == []
        await it.press("escape")
        await wait_until(it.ended)


@pytest.mark.slow
async def test_unknown_command_stays_and_names_the_nearest() -> None:
    async with chat() as it:
        await it.press(*"/qiut", "enter")
        await wait_until(lambda: told(it))
        assert it.prompt.text == "/qiut"
        assert "Did you mean /quit?" in told(it)[0]
        assert it.turns == []


async def test_unavailable_command_stays_in_the_prompt() -> None:
    async with chat() as it:
        await it.press(*"/fork", "enter")
        await wait_until(lambda: it.prompt.text == "/fork")
        await wait_until(lambda: told(it))
        assert "/fork cannot run now" in told(it)[0]


@pytest.mark.slow
async def test_escaped_slash_is_sent_and_returns_as_it_was_typed() -> None:
    async with chat() as it:
        await it.ask("//new")
        await it.ask("/etc/hosts is what?")
        assert [text for role, text in it.turns if role == "user"] == ["/new", "/etc/hosts is what?"]
        await it.press("up", "up")
        assert it.prompt.text == "//new"


@pytest.mark.slow
async def test_new_conversation_receives_the_text_typed_ahead() -> None:
    async with chat() as it:
        await it.ask("One")
        old = it.screen.conversation
        for key in [*"/new", "enter", *"two", "enter"]:
            it.app.simulate_key(key)
        await wait_until(lambda: it.ended() == 2)
        assert it.screen.conversation is not old
        assert it.turns[0] == ("user", "two")


@pytest.mark.slow
async def test_search_command_takes_words(tmp_path: Path) -> None:
    store = TempStore(tmp_path / "c.db")
    async with chat(store=store) as it:
        await it.ask("Tell me about Paris")
        await it.press(*"/search", "space", *"paris", "enter")
        await wait_until(lambda: isinstance(it.app.screen, SearchScreen))
        screen = it.app.screen
        assert isinstance(screen, SearchScreen)
        await wait_until(lambda: screen._hits)
    await store.close()


@pytest.mark.parametrize(
    ("typed", "id"),
    [
        ("/exit", "app.quit"),
        ("/quit", "app.quit"),
        ("/bye", "app.quit"),
        ("/q", "app.quit"),
        ("/?", "app.help"),
        ("/clear", "chat.new"),
        ("/regenerate", "chat.regenerate"),
        ("/model org/Other", "models.loaded"),
        ("/system Be brief.", "talks.system"),
    ],
)
def test_names_from_other_programs_are_understood(typed: str, id: str) -> None:
    command = CommandRegistry().read(typed)
    assert command is not None
    assert command.command == id


@pytest.mark.slow
async def test_alias_is_offered_when_only_it_begins_with_the_typed_text() -> None:
    async with chat() as it:
        await it.press(*"/by")
        assert offered(it) == ["/bye"]
        await it.press("backspace", "backspace")
        assert "/quit" in offered(it)
        assert "/bye" not in offered(it)


@pytest.mark.slow
async def test_model_switches_to_the_named_model_or_says_it_is_missing() -> None:
    async with chat(models={"org/Other": OTHER}) as it:
        await it.press(*"/model org/Other", "enter")
        await wait_until(lambda: (model := it.screen.current_model.model) and model.name == OTHER.name)
        await it.press(*"/model org/None", "enter")
        await wait_until(lambda: it.prompt.text == "/model org/None")
        assert "org/None has not been pulled" in told(it)[-1]


@pytest.mark.slow
async def test_system_sets_the_prompt_of_this_conversation(tmp_path: Path) -> None:
    store = TempStore(tmp_path / "c.db")
    async with chat(store=store) as it:
        await it.ask("Hi")
        await it.press(*"/system Be brief.", "enter")
        said = "System prompt changed: In this conversation, from the next turn on."
        await wait_until(lambda: told(it)[-1:] == [said])
        assert it.screen.conversation.system_prompt == "Be brief."
        kept = await (await store()).load(it.screen.conversation.id)
        assert kept.system_prompt == "Be brief."
    await store.close()


@pytest.mark.slow
async def test_clear_begins_a_new_conversation_and_question_mark_shows_help() -> None:
    async with chat() as it:
        await it.ask("Hi")
        await it.press(*"/clear", "enter")
        await wait_until(lambda: it.turns == [])
        await it.press(*"/?", "enter")
        await wait_until(lambda: isinstance(it.app.screen, HelpScreen))


@pytest.mark.slow
@both_sizes
def test_command_list(snap_compare: Any, size: tuple[int, int]) -> None:
    engine = ScriptedEngine([reply("Paris.")])

    async def act(pilot: Pilot[None], screen: MainScreen) -> None:
        await ask(pilot, screen, "Capital of France?", finished(screen, 2))
        await pilot.press(*"/exp", "down")

    snapshot(snap_compare, make_app(engine), size, act)
