"""Toasts: withdrawn before their time, and gone without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from textual.geometry import Region
from textual.widgets import Static
from textual.widgets._toast import Toast, ToastHolder

from spnl_tui.ui.main_screen import MainScreen
from spnl_tui.ui.widgets.toasts import say, withdraw
from tests.support.waiting import wait_until
from tests.ui.support import chat, told


@contextmanager
def painted(screen: MainScreen) -> Iterator[list[Region]]:
    """The regions of this screen that are painted meanwhile."""
    regions: list[Region] = []
    refresh = screen._compositor_refresh

    def noted() -> None:
        regions.extend(screen._compositor._dirty_regions)
        refresh()

    screen._compositor_refresh = noted  # type: ignore[method-assign]
    yield regions
    del screen._compositor_refresh


async def test_area_below_a_toast_is_repainted_when_it_closes() -> None:
    async with chat(toasts=True) as it:
        toast = say(it.screen, "One line\nand another", title="Above")
        say(it.screen, "Stays", title="Below", timeout=60)
        await wait_until(lambda: len(it.screen.query(Toast)) == 2)
        await it.pilot.pause()
        above = it.screen.query(Toast).first()
        region, holder = above.region, above.parent
        assert holder is not None
        assert holder._task is not None
        with painted(it.screen) as regions:
            withdraw(it.screen, toast)
            await asyncio.wait({holder._task})
            # Something new is to be painted, and asks where it is, before the screen is laid out anew.
            new = Static("new")
            new.styles.height = 0
            it.screen.query_one("#prompt-box").mount(new)
            it.screen._compositor.update_widgets({new})
            assert not new.region
            await it.pilot.pause()
        assert any(each.contains_region(region) for each in regions)


async def test_toast_withdrawn_at_once_is_not_shown() -> None:
    async with chat(toasts=True) as it:
        withdraw(it.screen, say(it.screen, "Nothing", title="Gone"))
        say(it.screen, "Something", title="Here")
        await wait_until(lambda: told(it))
        await it.pilot.pause()
        assert told(it) == ["Here: Something"]
        assert len(it.screen.query(Toast)) == 1


@pytest.mark.slow
async def test_toast_below_a_dialog_can_be_withdrawn() -> None:
    async with chat(toasts=True) as it:
        toast = say(it.screen, "Nothing", title="Gone", timeout=60)
        await wait_until(lambda: it.screen.query(Toast))
        await it.press("f1")
        withdraw(it.screen, toast)
        await it.press("f1")
        await it.pilot.pause()
        assert not it.screen.query(ToastHolder)
