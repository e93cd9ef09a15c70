"""Where commands are looked up: the help and the palette."""

from __future__ import annotations

import pytest

from spnl_tui.settings import Settings
from spnl_tui.ui.commands.registry import COMMANDS
from spnl_tui.ui.dialogs.help_screen import HelpScreen, KeyGroup
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat

IDS = frozenset(command.id for command in COMMANDS)


def lines(it: Chat) -> list[str]:
    groups = it.app.screen.query(KeyGroup)
    return [line.plain for group in groups for line in group.lines(group.size.width)]


@pytest.mark.parametrize("width", [56, 80, 120])
async def test_help_shows_the_setting_names_of_keys_at_every_width(width: int) -> None:
    async with chat(size=(width, 24)) as it:
        await it.press("f1")
        await wait_until(lambda: isinstance(it.app.screen, HelpScreen) and it.app.screen.query(".hint"))
        await it.pilot.pause()
        words = [word for line in lines(it) for word in line.split()]
        names = [word for word in words if word in IDS]
        assert (len(names), set(names)) == (len(COMMANDS), IDS)
        assert max(map(len, lines(it))) <= it.app.screen.query(KeyGroup).first().size.width
        heights = [group.size.height for group in it.app.screen.query(KeyGroup)]
        assert sum(heights) == len(lines(it))


async def test_help_shows_the_keys_from_the_settings() -> None:
    async with chat(settings=Settings(keys={"chat.new": "f5", "chat.send": "ctrl+s"})) as it:
        await it.ask("x", wait=False)
        assert it.prompt.text != ""  # Enter does not send any more
        it.prompt.text = "hello"
        await it.press("ctrl+s")
        await wait_until(it.ended)
        await it.press("f1")
        assert isinstance(it.app.screen, HelpScreen)
        await wait_until(lambda: it.app.screen.query(KeyGroup))
        assert any(line.startswith("f5 ") for line in lines(it))
        await it.press("escape", "f5")
        await wait_until(lambda: it.turns == [])


async def test_palette_offers_the_commands_that_apply() -> None:
    async with chat() as it:
        titles = [command.title for command in it.app.get_system_commands(it.screen)]
        assert "Theme" in titles
        assert "Copy" not in titles
        await it.ask("Hi")
        titles = [command.title for command in it.app.get_system_commands(it.screen)]
        assert {"Copy", "New", "Again"} <= set(titles)
