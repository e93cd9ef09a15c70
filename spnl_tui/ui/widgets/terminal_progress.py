"""The progress bar of the terminal itself, in its tab or in the task bar (OSC 9;4, invented by ConEmu)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.app import App

_PROGRAMS = frozenset({"ghostty", "wezterm"})


def draws_progress(environment: Mapping[str, str] = os.environ) -> bool:
    """Return True if the terminal is known to draw it. Others may show OSC 9 as a notification."""
    return (
        environment.get("TERM_PROGRAM", "").lower() in _PROGRAMS
        or "WT_SESSION" in environment
        or environment.get("ConEmuANSI") == "ON"
    )


class TerminalProgress:
    """Shows a share in the terminal's progress bar."""

    def __init__(self, app: App[Any], *, draws: bool | None = None) -> None:
        self._app = app
        self._draws = draws_progress() if draws is None else draws
        self._shown: int | None = None

    def show(self, share: float | None) -> None:
        """Show this share, from 0 to 1; None removes the bar. Writes only if the percentage has changed."""
        now = None if share is None else int(100 * share)
        driver = self._app._driver
        if now == self._shown or not self._draws or driver is None:
            return
        self._shown = now
        driver.write("\x1b]9;4;0;0\x1b\\" if now is None else f"\x1b]9;4;1;{now}\x1b\\")
