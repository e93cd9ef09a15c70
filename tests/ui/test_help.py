"""Where commands are looked up: the help and the palette."""

from __future__ import annotations

import pytest
from textual.widgets import OptionList, Static

from spnl_tui.settings import Settings
from spnl_tui.ui.commands.registry import COMMANDS
from spnl_tui.ui.dialogs.help_screen import HelpScreen
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat

IDS = frozenset(command.id for command in COMMANDS)


def rows(it: Chat) -> list[str]:
    screen = it.app.screen
    assert isinstance(screen, HelpScreen)
    return [str(option.prompt) for option in screen.query_one(OptionList).options]


def details(it: Chat) -> str:
    return str(it.app.screen.query_one(Static).render())


async def open_help(it: Chat, key: str = "f1") -> None:
    await it.press(key)
    await wait_until(lambda: isinstance(it.app.screen, HelpScreen) and it.app.screen.query(OptionList))
    await wait_until(lambda: len(rows(it)) > 0)


@pytest.mark.slow
async def test_help_lists_every_command_and_names_the_highlighted_one() -> None:
    async with chat() as it:
        await open_help(it)
        screen = it.app.screen
        assert isinstance(screen, HelpScreen)
        assert {entry.id for entries in screen._groups.values() for entry in entries} == IDS
        assert rows(it)[0] == "Here"
        await it.press(*"start a new conversation")
        await wait_until(lambda: "chat.new in [keys]" in details(it))
        await it.press("enter")
        await wait_until(lambda: not isinstance(it.app.screen, HelpScreen))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "found"), [("temperature", "/persona"), ("ctrl+r", "^R"), ("attach", "@"), ("leave", "^Q")]
)
async def test_help_finds_commands_by_word_key_and_synonym(typed: str, found: str) -> None:
    async with chat() as it:
        await open_help(it)
        await it.press(*typed)
        await wait_until(lambda: len(rows(it)) < 12)
        assert any(found in row for row in rows(it))
        await it.press("escape")
        await wait_until(lambda: len(rows(it)) > len(IDS))


async def test_question_mark_in_a_list_opens_the_help_for_it() -> None:
    async with chat() as it:
        await it.press("f4")
        await wait_until(lambda: it.screen.panes.seen == "pulls")
        await open_help(it, "question_mark")
        assert "Cancel the selected pull" in "".join(rows(it)[1:12])


@pytest.mark.slow
async def test_help_shows_the_keys_from_the_settings() -> None:
    async with chat(settings=Settings(keys={"chat.new": "f5", "chat.send": "ctrl+s"})) as it:
        await it.ask("x", wait=False)
        assert it.prompt.text != ""  # Enter does not send any more
        it.prompt.text = "hello"
        await it.press("ctrl+s")
        await wait_until(it.ended)
        await open_help(it)
        assert any(line.startswith("F5 ") for line in rows(it))
        await it.press("escape", "f5")
        await wait_until(lambda: it.turns == [])


async def test_palette_offers_the_commands_that_apply() -> None:
    async with chat() as it:
        titles = [command.label for command in it.app.palette_commands()]
        assert "Theme" in titles
        assert "Copy" not in titles
        await it.ask("Hi")
        titles = [command.label for command in it.app.palette_commands()]
        assert {"Copy", "New", "Again"} <= set(titles)
