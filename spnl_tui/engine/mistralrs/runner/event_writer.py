"""Writes the runner's events to its parent."""

from __future__ import annotations

import os
import threading

from spnl_tui.engine.mistralrs import wire


class EventWriter:
    """Writes events, one per line. Thread-safe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, command_id: int, event: wire.Event) -> None:
        """Write the event. End the process if the parent no longer reads."""
        data = memoryview(wire.encode_event(command_id, event))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except BrokenPipeError:
                os._exit(1)
