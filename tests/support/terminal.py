"""A real terminal for a program: a pty whose screen pyte keeps."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence

import pyte


class Terminal:
    """Runs a program in a pty of this size. Use it as a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._fd, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {**os.environ, **(env or {}), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.process = subprocess.Popen(
            command, stdin=child, stdout=child, stderr=child, env=environment, start_new_session=True
        )
        os.close(child)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.hang_up()

    def hang_up(self) -> None:
        """Close the terminal, as when its window is closed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def text(self) -> str:
        """Return the text on the screen."""
        return "\n".join(self._screen.display)

    def send(self, keys: str) -> None:
        """Type the text. Surrogates stand for bytes that are not UTF-8 ("\\udce9")."""
        os.write(self._fd, keys.encode(errors="surrogateescape"))

    def read(self, seconds: float = 0.1) -> bool:
        """Read output for at most `timeout` seconds. Return False if the program has ended."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            return False
        self._stream.feed(self._decoder.decode(data))
        return True

    def skip_until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Read output without interpreting it, which is cheap, until the condition is true.

        Raises:
            AssertionError: the condition was not true in time.
        """
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "what was waited for did not come"
            pause = time.monotonic() + 0.5
            while (left := pause - time.monotonic()) > 0:
                if select.select([self._fd], [], [], left)[0]:
                    os.read(self._fd, 1 << 20)

    def wait_for(self, what: str | Callable[[str], bool], timeout: float = 30.0) -> str:
        """Read until the screen shows the text or satisfies the predicate, and return the screen.

        Raises:
            AssertionError: it did not; the message has the screen.
        """
        matches = what if callable(what) else lambda text: what in text
        end = time.monotonic() + timeout
        alive = True
        while True:
            # The match may be half a frame; the rest is still to come.
            if matches(self.text) and not (alive and select.select([self._fd], [], [], 0.01)[0]):
                return self.text
            if not alive or time.monotonic() > end:
                raise AssertionError(f"{what!r} is not on the screen:\n{self.text}")
            alive = self.read()

    def wait_end(self, timeout: float = 10.0) -> int:
        """Read until the program has ended, and return its exit status."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"the program has not ended:\n{self.text}")
            self.read(0.05)
        return self.process.wait()
