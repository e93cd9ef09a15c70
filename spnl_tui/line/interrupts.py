"""Ctrl+C and SIGTERM in the line mode."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupts:
    """Decides what Ctrl+C does at each moment: the innermost `on` wins; without any, it ends the program."""

    def __init__(self, end: Callable[[], object]) -> None:
        """`end` ends the program in order."""
        self._end = end
        self._handlers: list[Callable[[], object]] = []
        self.signal: int | None = None
        """The signal that ended the program, if one did."""

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Within this context, both signals are handled here."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, self._leave, signal.SIGTERM)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)

    @contextmanager
    def on(self, handler: Callable[[], object]) -> Iterator[None]:
        """Within this context, Ctrl+C calls `handler`."""
        self._handlers.append(handler)
        try:
            yield
        finally:
            self._handlers.pop()

    def _interrupt(self) -> None:
        if self._handlers:
            self._handlers[-1]()
        else:
            self._leave(signal.SIGINT)

    def _leave(self, number: int) -> None:
        self.signal = number
        self._end()
