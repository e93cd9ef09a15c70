"""Keeps the program running after an unforeseen exception in a handler, an action, a worker or a timer.

Textual ends the app at each of them. Here each one is logged and shown, and the program continues, because a
single key must not cost a draft, a reply or a pull. Exceptions in quick succession still end the program:
they are usually raised again by every new frame, and the screen no longer changes.

No upstream issue was found that asks Textual for such an option.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from textual.app import App
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import WorkerFailed

from spnl_tui.errors import SpnlError
from spnl_tui.text import first_line
from spnl_tui.ui.widgets.toasts import tell

_MOST = 5
"""Exceptions within `_WITHIN_S` seconds after which the program ends."""
_WITHIN_S = 10.0

_log = logging.getLogger(__name__)


class UnforeseenErrors:
    """Decides for each unforeseen exception whether the app can continue."""

    def __init__(self, app: App[None], clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._times: deque[float] = deque(maxlen=_MOST)
        self.started = False
        """True once the first screen stands. Without it there is nothing to continue with."""
        self.fatal: Exception | None = None
        """The exception that ends the program."""

    def guard(self, widget: Widget) -> None:
        """Let the widget outlive an exception in one of its handlers, which would end its message loop."""
        dispatch = widget._dispatch_message

        async def guarded(message: Message) -> None:
            try:
                await dispatch(message)
            except Exception as error:
                # A widget that could not be composed and mounted cannot use further messages.
                if not widget.is_mounted or not self.survive(error):
                    raise

        widget._dispatch_message = guarded  # type: ignore[method-assign]  # of this object only

    def survive(self, error: Exception, pump: MessagePump | None = None) -> bool:
        """Log and show the exception; return False if the program has to end.

        `pump` is where it was raised. A dialog that could not be composed is closed.
        """
        if self.fatal is not None:
            return False
        if isinstance(error, WorkerFailed):
            error = error.error  # type: ignore[assignment]  # workers report an Exception, nothing wider
        _log.error("Unforeseen exception", exc_info=error)
        self._times.append(now := self._clock())
        too_many = len(self._times) == _MOST and now - self._times[0] < _WITHIN_S
        if too_many or not self.started:
            self.fatal = error
            return False
        if isinstance(pump, Widget) and not pump.is_mounted and pump.screen is not self._app.screen_stack[0]:
            self._app.call_later(_close, pump.screen)
        tell(self._app, told(error))
        return True


def told(error: Exception, *, ended: bool = False) -> SpnlError:
    """Return an unforeseen exception as the user reads it."""
    what = f"{type(error).__name__}: {first_line(str(error), 200)}".rstrip(": ")
    details = "Find the details in the log; `spnl-chat doctor` shows where it is."
    if ended:
        return SpnlError("spnl-chat ended because of an error in the program", what, details)
    return SpnlError("An error in the program", what, f"You can continue. {details}")


async def _close(screen: Screen[object]) -> None:
    if screen.is_current:
        screen.dismiss(None)
