"""Ends the program in order when the system asks (SIGTERM) or when the terminal is gone (SIGHUP).

Textual handles neither signal: https://github.com/Textualize/textual/issues/5140. Without a terminal its
input thread reads the end of the file in a loop (https://github.com/Textualize/textual/pull/6690), and once
the writing thread has failed, each write blocks the event loop. Here the end of the terminal ends the
program within a bound, also if no SIGHUP arrives.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
import time
from functools import partial

from textual.app import App

_BOUND_S = 3.0
"""The program ends this long after its terminal at the latest: services get two seconds to close."""
_STATUS = 128
"""The number that shells add to a signal's number for the exit code."""


def leave_when_told(app: App[None]) -> None:
    """From now on SIGTERM, SIGHUP and the end of the terminal end the app in order, as quitting does."""
    if sys.platform == "win32" or app.is_headless:
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, partial(app.exit, return_code=_STATUS + signal.SIGTERM))
    loop.add_signal_handler(signal.SIGHUP, _hang_up, app)
    watch = partial(_watch_terminal, sys.__stdin__.fileno() if sys.__stdin__ else 0, loop, app)
    threading.Thread(target=watch, name="terminal-watch", daemon=True).start()


def _hang_up(app: App[None]) -> None:
    # Never return: the next frame would be written to a missing terminal.
    app.batch_update().__enter__()
    app.exit(return_code=_STATUS + signal.SIGHUP)


def _watch_terminal(descriptor: int, loop: asyncio.AbstractEventLoop, app: App[None]) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)
    events = poll.poll()  # wait only for the end of the terminal
    if not any(event & select.POLLHUP for _, event in events):
        return  # a platform that cannot poll terminals
    loop.call_soon_threadsafe(_hang_up, app)
    time.sleep(_BOUND_S)
    os._exit(_STATUS + signal.SIGHUP)
