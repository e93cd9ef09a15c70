"""Lets a dialog be dismissed only once, and only while it is on top.

Textual 8.2.8 pops whichever screen is on top: a second Enter, typed before the dialog has gone, closes the
dialog below it, which then never reports a result, or raises if there is none. No upstream issue was found.
"""

from __future__ import annotations

from typing import Any

from textual.await_complete import AwaitComplete
from textual.screen import Screen


async def _nothing() -> None:
    pass


def dismiss_once(screen: Screen[Any]) -> None:
    """Let the screen ignore requests to dismiss it while another screen is on top, or when it has gone."""
    dismiss = screen.dismiss

    def guarded(result: Any = None) -> AwaitComplete:
        return dismiss(result) if screen.app.screen_stack[-1:] == [screen] else AwaitComplete(_nothing())

    screen.dismiss = guarded  # type: ignore[method-assign]  # of this object only
