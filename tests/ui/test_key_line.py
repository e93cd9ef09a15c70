"""The line with the keys: what it shows, and what the mouse does there."""

from __future__ import annotations

import pytest

from spnl_tui.ui.dialogs.help_screen import HelpScreen
from spnl_tui.ui.widgets.key_line import KeyLine
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat, go_to


def line(it: Chat) -> KeyLine:
    return it.screen.query_one(KeyLine)


def shown(it: Chat) -> str:
    return line(it).render().plain


async def test_key_line_shows_the_keys_that_are_bound() -> None:
    async with chat() as it:
        assert "⏎ Send" in shown(it)
        await it.press("f4")
        await wait_until(lambda: it.screen.panes.seen == "pulls" and "Esc Chat" in shown(it))
        assert "Send" not in shown(it)


@pytest.mark.slow
async def test_key_line_shows_at_most_six_keys_of_the_state() -> None:
    async with chat() as it:
        assert shown(it).startswith("⏎ Send")
        await it.ask("Hi")
        await go_to(it, "Hi")
        await wait_until(lambda: shown(it).startswith("^E Edit"))
        assert "Esc Leave" in shown(it)
        assert len(line(it).keys) == 6
        assert shown(it).endswith("F1 Help")


@pytest.mark.slow
async def test_click_presses_the_key_under_the_mouse() -> None:
    async with chat() as it:
        at = shown(it).index("Help")
        await it.pilot.hover(KeyLine, offset=(at, 0))
        await wait_until(lambda: line(it).hovered == "f1" and line(it).tooltip)
        await it.pilot.mouse_down(KeyLine, offset=(at, 0))
        await wait_until(lambda: isinstance(it.app.screen, HelpScreen))


async def test_narrow_key_line_keeps_the_help_and_scrolls_by_wheel() -> None:
    async with chat(size=(30, 24)) as it:
        begin = shown(it)
        assert begin.endswith("… F1 Help")
        assert len(begin) <= 30
        line(it).left_out += 4
        assert len(shown(it)) == 30
        line(it).left_out += 1000
        assert shown(it).endswith("Help")
        line(it).left_out -= 1000
        assert shown(it) == begin
