"""What all lists share: letters filter, one key opens the menu of a row, one key undoes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.widgets import OptionList

from spnl_tui.ui.commands.registry import COMMANDS, CommandRegistry
from spnl_tui.ui.dialogs.row_menu import RowMenu
from tests.support.conversations import talk
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, go_to, told

LISTS = ("talks", "models", "pulls", "loaded")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TempStore]:
    store = TempStore(tmp_path / "c.db")
    opened = await store()
    for title in ("Apples", "Plums"):
        await opened.add(talk("Hi", "Hello", title=title))
    yield store
    await store.close()


def menu(it: Chat) -> list[str]:
    screen = it.app.screen
    assert isinstance(screen, RowMenu)
    options = screen.query_one(OptionList)
    return [str(options.get_option_at_index(place).id) for place in range(options.option_count)]


def titles(it: Chat) -> list[str]:
    return [item.title for item in it.screen.chat.conversation_list.items]


async def open_menu(it: Chat) -> None:
    await it.press("ctrl+x")
    await wait_until(lambda: isinstance(it.app.screen, RowMenu) and it.app.screen.query(OptionList))


def test_no_command_of_a_list_has_a_letter_as_its_key() -> None:
    registry = CommandRegistry()
    letters = [
        (command.id, key)
        for command in COMMANDS
        if command.place in LISTS
        for key in registry.keys_of(command)
        if len(key) == 1 and key.isalnum()
    ]
    assert letters == []


def test_keys_set_for_a_former_undo_command_still_undo() -> None:
    registry = CommandRegistry(keymap={"pulls.undo": "f12"})
    assert registry.keys_of(registry["talks.undo"]) == ("ctrl+z", "alt+u", "f12")
    assert "pulls.undo" in list(registry.ids)


@pytest.mark.slow
async def test_row_menu_runs_its_commands_on_the_highlighted_conversation(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.press("f5")
        await wait_until(lambda: titles(it) == ["Plums", "Apples"])
        await it.press("down")
        await open_menu(it)
        assert menu(it)[:3] == ["talks.open", "talks.rename", "talks.pin"]
        await it.press("p", "enter")
        await wait_until(lambda: titles(it) == ["Apples", "Plums"])
        await open_menu(it)
        await it.press("delete")  # a key of the command works in the menu
        await wait_until(lambda: titles(it) == ["Plums"])
        await it.press("ctrl+z")
        await wait_until(lambda: titles(it) == ["Apples", "Plums"])
        await it.press("ctrl+z")
        await wait_until(lambda: titles(it) == ["Plums", "Apples"])


@pytest.mark.slow
async def test_row_menu_of_a_turn_offers_what_can_be_done_with_it(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.press("ctrl+x")
        assert not isinstance(it.app.screen, RowMenu)  # no turn is selected: the key cuts
        await it.ask("Hello")
        await go_to(it, "Hello")
        await open_menu(it)
        assert {"turn.edit", "chat.copy", "turn.fork", "turn.delete"} <= set(menu(it))
        await it.press("escape")
        await wait_until(lambda: not isinstance(it.app.screen, RowMenu))


@pytest.mark.slow
async def test_undo_takes_back_the_newest_change_in_the_prompt_or_outside(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hello")
        await it.press(*"abc")
        await go_to(it, "Hello")
        await it.press("alt+delete")
        await wait_until(lambda: "Hello" not in [text for _, text in it.turns])
        assert any("Ctrl+Z undoes it" in toast for toast in told(it))
        await it.press("ctrl+z")
        await wait_until(lambda: "Hello" in [text for _, text in it.turns])
        assert it.prompt.text == "abc"
        await it.press("ctrl+z")
        await wait_until(lambda: it.prompt.text == "")
