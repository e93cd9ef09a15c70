"""The built-in tool that runs shell commands.

A command has a process group of its own, a time limit, an output limit, and an environment without secrets.
Every process that it starts carries a mark in its environment, so that those which leave the group are found.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from spnl_tui.errors import cause_of
from spnl_tui.models.tools import Tool
from spnl_tui.tools.tool import Arguments, BuiltInTool, Effect, Outcome, Prepared, ToolError, schema

TIMEOUT_S = 120
MOST_TIMEOUT_S = 600
KEPT_BYTES = 60_000
"""Of the output, half of it from its beginning and half from its end."""
MOST_BYTES = 20_000_000
"""A command that writes more is ended."""
_MARK = "SPNL_CHAT_CALL"
_KEPT = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR", "VIRTUAL_ENV")
"""Variables that a command receives, with all LC_*. Others may be secrets."""
_START = (
    "import os,resource as r,sys\n"
    "r.setrlimit(r.RLIMIT_CORE,(0,0))\n"
    "n=min(int(sys.argv[1]),r.getrlimit(r.RLIMIT_NPROC)[1]%2**63 or 2**63)\n"
    "r.setrlimit(r.RLIMIT_NPROC,(n,n))\n"
    "os.execv('/bin/sh',['sh','-c',sys.argv[2]])\n"
)
"""Limits first: they cannot be set in this process for another."""
_MORE_PROCESSES = 400
_SWEEPS = 50


def command_tools(root: Path, environment: Mapping[str, str] | None = None) -> tuple[BuiltInTool, ...]:
    """Return the tool that runs commands in this folder."""
    inherited = dict(os.environ if environment is None else environment)

    async def prepare(arguments: Arguments) -> Prepared:
        command = arguments["command"]
        timeout = min(arguments.get("timeout_s", TIMEOUT_S), MOST_TIMEOUT_S)
        if not command.strip() or "\0" in command:
            raise ToolError("The command is empty or not valid.")

        async def run() -> Outcome:
            return await run_command(command, root, timeout, inherited)

        effect = Effect(
            summary=command, detail=command if "\n" in command else "", kind="command", note=f"in {root}"
        )
        return Prepared(effect=effect, run=run)

    tool = Tool(
        name="run_command",
        description="Runs a shell command in the workspace and returns its output and exit code.",
        parameters=schema(
            ("command",),
            command={"type": "string", "description": "For /bin/sh.", "maxLength": 8000},
            timeout_s={"type": "integer", "minimum": 1, "maximum": MOST_TIMEOUT_S},
        ),
    )
    hint = "Run the command again with its output in a file, and read that in parts."
    return (BuiltInTool(tool=tool, group="command", prepare=prepare, foreign=True, rest_hint=hint),)


async def run_command(
    command: str, folder: Path, timeout_s: float, environment: Mapping[str, str]
) -> Outcome:
    """Run a command to its end, or to one of its limits. When this is cancelled, the command ends.

    Raises:
        ToolError: it cannot be started, or has reached a limit.
    """
    mark = os.urandom(8).hex()
    limit = str(await asyncio.to_thread(_own_processes) + _MORE_PROCESSES)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _START, limit, command,
            stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, cwd=folder, start_new_session=True,
            env={**scrubbed(environment), _MARK: mark},
        )  # fmt: skip
    except OSError as error:
        raise ToolError(f"The command could not be started: {cause_of(error)}.") from error
    output = _Output()
    problem = ""
    try:
        async with asyncio.timeout(timeout_s):
            await output.read(process)
            if not output.too_long:
                await process.wait()
    except TimeoutError:
        problem = f"The command was ended after {timeout_s:g} s."
    finally:
        ending = asyncio.ensure_future(_end(process, mark))
        while not ending.done():  # also if this is cancelled again
            with suppress(asyncio.CancelledError):
                await asyncio.shield(ending)
    if output.too_long:
        problem = f"The command was ended because it wrote more than {MOST_BYTES:,} bytes."
    text = output.text
    if problem:
        raise ToolError(f"{problem}\n{text}".strip())
    code = process.returncode
    if code:
        return Outcome.failed(f"{text}\n[exit code {code}]".lstrip("\n"))
    return Outcome.of_text(text or "[no output, exit code 0]")


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a command may see."""
    kept = {name: value for name, value in environment.items() if name in _KEPT or name.startswith("LC_")}
    return {
        **kept,
        "TERM": "dumb",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "NO_COLOR": "1",
    }


class _Output:
    """The beginning and the end of an output."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._bytes = 0
        self.too_long = False

    async def read(self, process: Process) -> None:
        assert process.stdout is not None
        while data := await process.stdout.read(65536):
            self._bytes += len(data)
            room = KEPT_BYTES // 2 - len(self._head)
            if room > 0:
                self._head += data[:room]
                data = data[room:]
            self._tail = (self._tail + data)[-KEPT_BYTES // 2 :]
            if self._bytes > MOST_BYTES:
                self.too_long = True
                return

    @property
    def text(self) -> str:
        left_out = self._bytes - len(self._head) - len(self._tail)
        between = f"\n[{left_out:,} bytes left out]\n".encode() if left_out > 0 else b""
        return bytes(self._head + between + self._tail).decode("utf-8", "replace").rstrip("\n")


async def _end(process: Process, mark: str) -> None:
    """End the command and everything that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for _ in range(_SWEEPS):
        if not await asyncio.to_thread(_kill_marked, mark):
            break
    # Processes that hold the pipe are gone, so this cannot wait for ever.
    with suppress(TimeoutError):
        async with asyncio.timeout(5):
            await process.wait()
    process._transport.close()  # type: ignore[attr-defined]  # or the pipe stays open until it is collected


def _kill_marked(mark: str) -> int:
    """Kill every process that carries the mark; return how many there were."""
    import psutil

    found = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == mark:
                found += 1
                process.kill()
    return found


def _own_processes() -> int:
    import psutil

    own, count = os.getuid(), 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            count += (process.uids().real == own and process.num_threads()) or 0
    return count
