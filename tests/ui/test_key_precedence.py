"""What Esc and Ctrl+C do in each state, as a table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.widgets import Input

from spnl_tui.settings import Settings
from spnl_tui.ui.commands.precedence import PRECEDENCE, by_precedence
from spnl_tui.ui.commands.registry import COMMANDS
from spnl_tui.ui.dialogs.help_screen import HelpScreen
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, held, told

Step = Callable[[Chat], Awaitable[None]]


async def _streaming(it: Chat) -> None:
    await it.ask("Second", wait=False)
    await wait_until(lambda: it.screen.activity.state == "replying")


async def _suggestions(it: Chat) -> None:
    await it.press(*"/he")
    assert it.prompt.completing


async def _search_line(it: Chat) -> None:
    await it.press("ctrl+slash")
    await wait_until(lambda: it.screen.finder.looking and isinstance(it.app.focused, Input))


async def _selected_turn(it: Chat) -> None:
    await it.press("alt+up")
    await wait_until(lambda: it.screen.turns.under_cursor() is not None)


async def _edited_turn(it: Chat) -> None:
    await it.press("ctrl+e")
    await wait_until(lambda: it.prompt.text == "First")


async def _list(it: Chat) -> None:
    await it.press("f5")
    await wait_until(lambda: it.screen.chat.conversation_list.has_focus)


async def _pulls(it: Chat) -> None:
    await it.press("f4")
    await wait_until(lambda: it.screen.panes.seen == "pulls")


async def _help(it: Chat) -> None:
    await it.press("f1")
    await wait_until(lambda: isinstance(it.app.screen, HelpScreen))


async def _typed(it: Chat) -> None:
    await it.press(*"draft")


def _state(it: Chat) -> dict[str, bool]:
    """What Esc and Ctrl+C may change."""
    return {
        "help": isinstance(it.app.screen, HelpScreen),
        "suggestions": it.prompt.completing,
        "search line": it.screen.finder.looking,
        "reply": it.screen.replying,
        "selection": it.screen.turns.can_leave,
        "list": it.screen.chat.conversation_list.has_focus,
        "pulls": it.screen.panes.seen == "pulls",
    }


ESC: list[tuple[tuple[Step, ...], tuple[str, ...]]] = [
    # Steps to reach a state; then what each Esc ends, in this order.
    ((_typed,), ()),
    ((_suggestions,), ("suggestions",)),
    ((_search_line,), ("search line",)),
    ((_streaming,), ("reply",)),
    ((_selected_turn,), ("selection",)),
    ((_edited_turn,), ("selection",)),
    ((_list,), ("list",)),
    ((_pulls,), ("pulls",)),
    ((_help,), ("help",)),
    ((_streaming, _suggestions), ("suggestions", "reply")),
    ((_streaming, _search_line), ("search line", "reply")),
    ((_streaming, _selected_turn), ("reply", "selection")),
    ((_streaming, _list), ("list", "reply")),
    ((_streaming, _pulls), ("pulls", "reply")),
    ((_streaming, _help), ("help", "reply")),
    ((_selected_turn, _list), ("list", "selection")),
    ((_edited_turn, _pulls), ("pulls", "selection")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "ends"), ESC, ids=lambda value: " ".join(getattr(v, "__name__", v).strip("_") for v in value)
)
async def test_esc_ends_one_thing_at_a_time(
    tmp_path: Path, steps: tuple[Step, ...], ends: tuple[str, ...]
) -> None:
    hold = asyncio.Event()
    store = TempStore(tmp_path / "c.db")
    async with chat(ScriptedEngine([reply("One"), held("Two", hold)]), store=store) as it:
        await it.ask("First")
        for step in steps:
            await step(it)
        for end in ends:
            before = _state(it)
            assert before[end], (end, before)
            await it.press("escape")
            await wait_until(lambda end=end: not _state(it)[end])
            await it.pilot.pause()
            assert _state(it) == {**before, end: False}
        if steps == (_typed,):
            await it.press("escape")
            assert (it.prompt.text, told(it)) == ("draft", [])
        hold.set()
    await store.close()


async def test_more_keys_for_stop_leave_esc_to_the_others() -> None:
    async with chat(settings=Settings(keys={"chat.stop": "escape,f12"})) as it:
        await it.press(*"/he")
        assert it.prompt.completing
        await it.press("escape")
        assert not it.prompt.completing
        await it.press("f4", "escape")
        await wait_until(lambda: it.screen.panes.seen == "chat")


@pytest.mark.slow
async def test_ctrl_c_copies_a_selection_then_stops_then_explains() -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("One", hold)])) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press(*"word", "shift+home", "ctrl+c")
        assert (it.app.clipboard, it.screen.replying) == ("word", True)
        await it.press("end", "ctrl+c")
        await wait_until(lambda: not it.screen.replying)
        await it.press("ctrl+c")
        await wait_until(lambda: told(it) == ["Nothing to stop: Press Ctrl+Q to quit."])


def test_every_shared_key_has_its_order() -> None:
    for key, ids in PRECEDENCE.items():
        having = {command.id for command in COMMANDS if key in command.keys.split(",")}
        assert having == set(ids)
        ordered = [command.id for command in by_precedence(COMMANDS) if command.id in having]
        assert ordered == list(ids)
