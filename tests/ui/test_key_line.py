"""The line with the keys: what it shows, and what the mouse does there."""

from __future__ import annotations

from spnl_tui.ui.widgets.key_line import KeyLine
from tests.support.waiting import wait_until
from tests.ui.support import Chat, chat


def line(it: Chat) -> KeyLine:
    return it.screen.query_one(KeyLine)


def shown(it: Chat) -> str:
    return line(it).render().plain


async def test_key_line_shows_the_keys_that_are_bound() -> None:
    async with chat() as it:
        assert "f4 Pulls" in shown(it)
        await it.press("f4")
        await wait_until(lambda: it.screen.panes.seen == "pulls" and " Chat" in shown(it))
        assert "f4 Pulls" not in shown(it)


async def test_click_presses_the_key_under_the_mouse() -> None:
    async with chat() as it:
        at = shown(it).index("Pulls")
        await it.pilot.hover(KeyLine, offset=(at, 0))
        await wait_until(lambda: line(it).hovered == "f4" and line(it).tooltip)
        await it.pilot.mouse_down(KeyLine, offset=(at, 0))
        await wait_until(lambda: it.screen.panes.seen == "pulls")
        await it.pilot.mouse_down(KeyLine, offset=(it.app.size.width - 1, 0))
        await it.pilot.pause()
        assert it.screen.panes.seen == "pulls"


async def test_wheel_scrolls_the_key_line() -> None:
    async with chat(size=(30, 24)) as it:
        begin = shown(it)
        assert begin.endswith(" …")  # behind a whole key
        assert 20 < len(begin) <= 30
        line(it).left_out += 4
        assert shown(it).startswith(begin[4:-2])
        assert len(shown(it)) == 30
        line(it).left_out += 1000
        assert shown(it).endswith("Quit")
        line(it).left_out -= 1000
        assert shown(it) == begin
