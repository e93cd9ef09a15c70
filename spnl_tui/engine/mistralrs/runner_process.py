"""Starts one runner process, exchanges messages with it, and ends it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from spnl_tui.engine.mistralrs import wire
from spnl_tui.errors import RunnerError, cause_of
from spnl_tui.text import in_bytes

log = logging.getLogger(__name__)

RUNNER = (sys.executable, "-m", "spnl_tui.engine.mistralrs.runner.program")
# A line can contain a whole reply.
_LONGEST_LINE = 64 * 1024 * 1024
_ANSI = re.compile(rb"\x1b\[[0-9;]*m")
_RUST_NOTE = "note: run with `RUST_BACKTRACE"
"""The beginning of a note for developers that follows the cause of a crash."""
_NO_MEMORY = re.compile(r"memory allocation of (\d+) bytes failed")
"""Rust's last message if the system, or a limit such as `ulimit -v`, refuses it memory."""
_END_GRACE_S = 0.5


class RunnerProcess:
    """A child process that speaks the wire format.

    Created by `spawn`. Events go to the subscriber of their id; events without a subscriber are stale and
    dropped. When the process ends, every subscriber receives a RunnerEnded.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._subscribers: dict[int, asyncio.Queue[wire.Event]] = {}
        self._last_lines: deque[str] = deque(maxlen=20)
        self._ended: str | None = None
        self._tasks = [asyncio.create_task(self._read_events()), asyncio.create_task(self._read_log())]

    @classmethod
    async def spawn(
        cls, environment: Mapping[str, str] | None = None, command: Sequence[str] = RUNNER
    ) -> RunnerProcess:
        """Start a runner, with these environment variables added to the current ones.

        Raises:
            RunnerError: the process could not be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(os.getpid()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # Do not inherit it: Textual draws on descriptor 2, and mistral.rs logs there.
                stderr=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                # Backtraces would load 35 MB of symbol tables and end up in error messages.
                env={**os.environ, "RUST_BACKTRACE": "0", "RUST_LIB_BACKTRACE": "0", **(environment or {})},
            )
        except OSError as error:
            raise RunnerError(
                "The runner could not be started",
                f"{cause_of(error)}.",
                "Check the installation: spnl-chat doctor.",
            ) from error
        return cls(process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def ended(self) -> str | None:
        """The reason why the process ended; None while it runs."""
        return self._ended

    def next_id(self) -> int:
        """Return an id for the next command."""
        return next(self._ids)

    def subscribe(self, request_id: int) -> asyncio.Queue[wire.Event]:
        """Return a queue that receives the events of this id from now on."""
        queue: asyncio.Queue[wire.Event] = asyncio.Queue()
        self._subscribers[request_id] = queue
        if self._ended is not None:
            queue.put_nowait(wire.RunnerEnded(reason=self._ended))
        return queue

    def unsubscribe(self, request_id: int) -> None:
        """Drop further events of this id."""
        self._subscribers.pop(request_id, None)

    async def send(self, command: wire.Command) -> None:
        """Write the command. If the runner has ended, its subscribers are notified instead of raising an
        error."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(wire.encode_command(command))
            await self._process.stdin.drain()

    async def end(self) -> None:
        """Terminate the process, kill it if it does not stop at once, and wait for its end."""
        self._ended = self._ended or "it was ended"
        for stop in (signal.SIGTERM, signal.SIGKILL):
            self._signal(stop)
            try:
                await asyncio.wait_for(self._process.wait(), _END_GRACE_S)
                break
            except TimeoutError:
                continue
        # Do not use gather(): cancelling this wait must not cancel the tasks that notify subscribers.
        await asyncio.wait(self._tasks)

    def _signal(self, number: signal.Signals) -> None:
        # Do not use the methods of subprocess: they reap a child that has just ended, and asyncio, which
        # cannot find it then, warns on standard error.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def _read_events(self) -> None:
        assert self._process.stdout is not None
        broken = None
        try:
            async for line in self._process.stdout:
                command_id, event = wire.decode_event(line)
                if queue := self._subscribers.get(command_id):
                    queue.put_nowait(event)
        except (wire.ProtocolError, ValueError) as error:  # ValueError: the line is too long
            log.error("runner %d sent a malformed line: %s", self.pid, error)
            broken = "it sent a malformed line"
            self._signal(signal.SIGKILL)
        code = await self._process.wait()
        self._ended = self._ended or broken or self._cause(code)
        log.info("runner %d ended: %s", self.pid, self._ended)
        for queue in self._subscribers.values():
            queue.put_nowait(wire.RunnerEnded(reason=self._ended))
        _clear_up_after(self.pid)

    async def _read_log(self) -> None:
        # Always read it, because a child blocks once the pipe of its log is full.
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            for line in _ANSI.sub(b"", chunk).decode(errors="replace").splitlines():
                if line.strip() and not line.startswith(_RUST_NOTE):
                    self._last_lines.append(line.strip())
                    log.info("runner %d: %s", self.pid, line)

    def _cause(self, code: int) -> str:
        for line in reversed(self._last_lines):
            if match := _NO_MEMORY.search(line):
                return f"it could not get {in_bytes(int(match[1]))} more memory"
        if code == -signal.SIGKILL:
            return "it was killed, perhaps because memory ran out"
        if code < 0:
            name = signal.Signals(-code).name
            return (
                f"it crashed ({name}): {self._last_lines[-1]}" if self._last_lines else f"it crashed ({name})"
            )
        said = f": {self._last_lines[-1]}" if self._last_lines else ""
        return f"it exited with status {code}{said}"


def _clear_up_after(pid: int) -> None:
    """Remove the temporary files of a runner that was killed while loading."""
    for folder in Path(tempfile.gettempdir()).glob(f"{wire.temporary_prefix(pid)}*"):
        shutil.rmtree(folder, ignore_errors=True)  # the system removes the others
