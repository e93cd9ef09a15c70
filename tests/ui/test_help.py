"""Where commands are looked up: the help and the palette."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from spnl_tui.settings import Settings
from spnl_tui.ui.command_table import COMMANDS
from spnl_tui.ui.help_screen import HelpScreen
from tests.ui.support import chat, wait_until


@pytest.mark.parametrize("width", [56, 80, 120])
async def test_help_shows_the_names_by_which_keys_are_changed_at_every_width(width: int) -> None:
    async with chat(size=(width, 24)) as it:
        await it.press("f1")
        await wait_until(lambda: isinstance(it.app.screen, HelpScreen) and it.app.screen.query(".hint"))
        await it.pilot.pause()
        ids = list(it.app.screen.query(".id").results(Static))
        assert [str(id.render()) for id in ids] == [command.id for command in COMMANDS]
        assert all(id.region.width >= len(str(id.render())) for id in ids)


async def test_help_shows_the_keys_as_the_user_has_set_them() -> None:
    async with chat(settings=Settings(keys={"chat.new": "f5", "chat.send": "ctrl+s"})) as it:
        await it.ask("x", wait=False)
        assert it.prompt.text != ""  # Enter does not send any more
        it.prompt.text = "hello"
        await it.press("ctrl+s")
        await wait_until(it.ended)
        await it.press("f1")
        assert isinstance(it.app.screen, HelpScreen)
        keys = [str(row.render()) for row in it.app.screen.query(".keys")]
        assert "f5" in keys
        await it.press("escape", "f5")
        await wait_until(lambda: it.turns == [])


async def test_the_palette_offers_the_commands_that_apply() -> None:
    async with chat() as it:
        titles = [command.title for command in it.app.get_system_commands(it.screen)]
        assert "Theme" in titles
        assert "Copy" not in titles
        await it.ask("Hi")
        titles = [command.title for command in it.app.get_system_commands(it.screen)]
        assert {"Copy", "New", "Again"} <= set(titles)
