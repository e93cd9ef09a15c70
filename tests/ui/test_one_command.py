"""One registered command reaches everything that the interface generates from commands."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from textual.widgets import OptionList

from spnl_tui.settings import Settings
from spnl_tui.ui.commands.command import AVAILABLE, Availability, Command, Unavailable, Worker
from spnl_tui.ui.commands.context import CommandContext
from spnl_tui.ui.commands.registry import COMMANDS
from spnl_tui.ui.dialogs.help_screen import HelpScreen
from spnl_tui.ui.widgets.key_line import KeyLine
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat, offered, told


class Waver:
    """A command that waves, while it is allowed to."""

    def __init__(self) -> None:
        self.allowed = True
        self.waved: list[str] = []

    def _may_wave(self, context: CommandContext) -> Availability:
        return AVAILABLE if self.allowed else Unavailable("Nobody is looking. Press {view.pulls} instead.")

    async def _wave(self, context: CommandContext) -> None:
        self.waved.append(context.argument)

    def command(self) -> Command:
        return Command(
            id="test.wave",
            keys="alt+w",
            run=self._wave,
            needs=(self._may_wave,),
            worker=Worker(group="test"),
            label="Wave",
            help="Wave at the user.",
            group="Test",
            footer=True,
            slash="wave",
            aliases=("hello",),
            argument="NAME",
        )


def footer(it: Chat) -> list[str]:
    return [what for _, _, what, _ in it.screen.query_one(KeyLine).keys]


def palette(it: Chat) -> list[str]:
    return [command.label for command in it.app.palette_commands()]


def commands(waver: Waver) -> Iterable[Command]:
    return (*COMMANDS, waver.command())


@pytest.mark.slow
async def test_command_is_in_footer_palette_help_and_slash_list() -> None:
    waver = Waver()
    async with chat(commands=commands(waver), size=(200, 60)) as it:
        await it.press("f4")
        await wait_until(lambda: "Wave" in footer(it))
        await it.press("f2")
        assert "Wave" in palette(it)
        await it.press(*"/wav")
        assert offered(it) == ["/wave NAME"]
        it.prompt.text = ""
        await it.press("f1")
        await wait_until(lambda: isinstance(it.app.screen, HelpScreen) and it.app.screen.query(OptionList))
        await it.pilot.pause()
        lines = [str(option.prompt) for option in it.app.screen.query_one(OptionList).options]
        assert any("Alt+W" in line and "Wave at the user.  /wave NAME" in line for line in lines)


@pytest.mark.slow
async def test_command_runs_by_key_name_and_alias() -> None:
    waver = Waver()
    async with chat(commands=commands(waver)) as it:
        await it.press("alt+w", *"/wave Ada", "enter", *"/hello Bob", "enter")
        await wait_until(lambda: waver.waved == ["", "Ada", "Bob"])


async def test_command_uses_the_key_from_the_settings() -> None:
    waver = Waver()
    async with chat(commands=commands(waver), settings=Settings(keys={"test.wave": "f12"})) as it:
        await it.press("f12")
        await wait_until(lambda: waver.waved == [""])
        await it.press("alt+w")
        await it.pilot.pause()
        assert (waver.waved, told(it)) == ([""], [])


async def test_unavailable_command_shows_its_reason_and_is_not_offered() -> None:
    waver = Waver()
    waver.allowed = False
    async with chat(commands=commands(waver), size=(200, 60)) as it:
        assert "Wave" not in (*footer(it), *palette(it))
        await it.press("alt+w")
        why = "Nobody is looking. Press F4 instead."
        await wait_until(lambda: told(it) == [f"Alt+W does nothing now: {why}"])
        await it.press(*"/wav")
        assert offered(it) == []
        await it.press(*"e Ada", "enter")
        await wait_until(lambda: told(it)[-1:] == [f"/wave cannot run now: {why}"])
        assert (it.prompt.text, waver.waved) == ("/wave Ada", [])
