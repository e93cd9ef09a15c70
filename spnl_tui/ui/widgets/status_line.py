"""The status line: what the model is doing."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget

from spnl_tui.chat.status import Activity, Status, status_parts


class StatusLine(Widget):
    """Shows model, state and figures. A narrow terminal omits the least important ones."""

    activity: reactive[Activity] = reactive(Activity())

    def __init__(self, status: Status, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._status = status
        self._clock = clock
        self._ticker: Timer | None = None

    def on_mount(self) -> None:
        """Follow the status."""
        self.activity = self._status.activity
        self._status.subscribe(self._show)

    def _show(self, activity: Activity) -> None:
        self.activity = activity

    def watch_activity(self, activity: Activity) -> None:
        """Count the seconds only while the user waits for something."""
        if activity.busy and self._ticker is None:
            self._ticker = self.set_interval(1.0, self.refresh)
        elif not activity.busy and self._ticker is not None:
            self._ticker.stop()
            self._ticker = None

    def render(self) -> Content:
        """Return the line, as wide as the terminal."""
        left, right = status_parts(self.activity, self._clock(), self.size.width)
        gap = " " * (self.size.width - len(left) - len(right))
        return Content.assemble((left, "$text" if self.activity.busy else ""), gap, right)
