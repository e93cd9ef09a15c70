"""Kill the resident engine, its runner, a server and clients with SIGKILL at random moments.

`python -m tests.support.engine_kills [COUNT]` kills 50 times. Four clients ask all the time: two through the
socket, two through the server. After each kill, every client that lives must get an end of its request: a
reply, or a message. At the end nothing that was started may remain.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from spnl_tui.engine.backend import ChatRequest, ReplyFinished, RequestFailed
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.engine.resident.backend import ResidentBackend
from spnl_tui.engine.resident.server import Resident
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from tests.support.engines import FAKE_RUNNER, fake_model, fake_plan
from tests.support.resident import address_in

_PATIENCE_S = 60.0
_REQUESTS = 6
"""Requests of a client before another process takes its place: one that lost its resident stays without."""
ROLES = ("resident", "server", "socket client", "http client")


async def _plan(model: LocalModel, context: int | None = None) -> LoadPlan:
    return fake_plan()


def _local(folder: Path) -> MistralRsBackend:
    return MistralRsBackend(_plan, Paths.below(folder), runner_command=FAKE_RUNNER)


def _client(folder: Path) -> ResidentBackend:
    return ResidentBackend(fake_model().backend, address_in(folder), lambda: _local(folder), program="kills")


async def _be_resident(folder: Path) -> None:
    engine = _local(folder)
    await Resident(engine, address_in(folder), keep_warm_s=600, max_concurrent=4).run()


async def _be_server(folder: Path) -> None:
    from tests.support.http_server import running_server

    async with running_server(_client(folder), fake_model()) as server:
        (folder / "url").write_text(server.url)
        await asyncio.Event().wait()


def _prompt() -> str:
    return f"tokens={random.randrange(1, 40)} delay=0.01 steps={random.randrange(3)}"


async def _ask_through_the_socket(folder: Path) -> None:
    client = _client(folder)
    for _ in range(_REQUESTS):
        request = ChatRequest(messages=[Message("user", _prompt())], sampling=Sampling(temperature=0))
        async with aclosing(client.generate(fake_model(), request)) as events:
            ends = [event async for event in events if isinstance(event, ReplyFinished | RequestFailed)]
        assert len(ends) == 1, ends
        print("reply" if isinstance(ends[0], ReplyFinished) else "message", flush=True)
    await client.close()


async def _ask_through_the_server(folder: Path) -> None:
    import httpx2

    async with httpx2.AsyncClient(timeout=_PATIENCE_S) as client:
        for _ in range(_REQUESTS):
            body = {"messages": [{"role": "user", "content": _prompt()}], "stream": random.random() < 0.5}
            try:
                url = (folder / "url").read_text()  # a file of ten bytes
                reply = await client.post(f"{url}/chat/completions", json=body)
                done = reply.status_code == 200 and "error" not in reply.text
                print("reply" if done else "message", flush=True)
            except (httpx2.HTTPError, OSError):
                print("message", flush=True)
                await asyncio.sleep(0.1)


@dataclass(slots=True)
class _Member:
    """One process, which is started again when it ends."""

    role: str
    folder: Path
    process: subprocess.Popen[str] | None = None
    ends: int = 0
    """Requests of it that have ended."""

    def start(self, outcomes: Counter[str]) -> None:
        process = subprocess.Popen(
            (sys.executable, "-m", "tests.support.engine_kills", self.role, str(self.folder)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.process = process

        def read() -> None:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    outcomes[line.strip()] += 1
                    self.ends += 1

        threading.Thread(target=read, daemon=True).start()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def _members(folder: Path, outcomes: Counter[str]) -> Iterator[list[_Member]]:
    roles = ("resident", "server", "socket client", "socket client", "http client", "http client")
    members = [_Member(role, folder) for role in roles]
    stopped = threading.Event()

    def revive() -> None:
        while not stopped.wait(0.05):
            for member in members:
                if member.process is None or member.process.poll() is not None:
                    member.start(outcomes)

    reviving = threading.Thread(target=revive)
    reviving.start()
    try:
        yield members
    finally:
        stopped.set()
        reviving.join()
        for member in members:
            if member.process is not None:
                member.kill()


def _runners(members: list[_Member]) -> list[psutil.Process]:
    found = []
    for member in members:
        if member.process is not None:
            with suppress(psutil.NoSuchProcess):
                found += psutil.Process(member.process.pid).children(recursive=True)
    return found


def _until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def kill_at_random(count: int, seed: int) -> Counter[str]:
    """Kill `count` times, and return how many requests ended in a reply and in a message.

    Raises:
        AssertionError: a request hangs, or a process remains.
    """
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    seen: dict[int, psutil.Process] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _members(folder, outcomes) as members:
            clients = members[2:]
            _until(lambda: all(client.ends for client in clients), "the clients do not start")
            for number in range(count):
                time.sleep(chance.uniform(0, 0.3))
                seen |= {process.pid: process for process in _runners(members)}
                runners = [process for process in seen.values() if process.is_running()]
                victims: list[_Member | psutil.Process] = [*members, *runners[:1]]
                victim = chance.choice(victims)
                with suppress(psutil.NoSuchProcess, ProcessLookupError):
                    if isinstance(victim, psutil.Process):
                        os.kill(victim.pid, signal.SIGKILL)
                    elif victim.process is not None:
                        victim.process.kill()
                before = [client.ends for client in clients]
                _until(
                    lambda before=before: all(  # type: ignore[misc]
                        client.ends > ends for client, ends in zip(clients, before, strict=True)
                    ),
                    f"a client hangs after kill {number}",
                )
            seen |= {process.pid: process for process in _runners(members)}
        _until(lambda: not any(_remains(process) for process in seen.values()), "an orphan remains")
    return outcomes


def _remains(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def main() -> None:
    roles = dict(
        zip(ROLES, (_be_resident, _be_server, _ask_through_the_socket, _ask_through_the_server), strict=True)
    )
    if len(sys.argv) == 3 and sys.argv[1] in roles:
        asyncio.run(roles[sys.argv[1]](Path(sys.argv[2])))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    outcomes = kill_at_random(count, seed=random.randrange(10**6))
    print(f"{count} kills: {outcomes['reply']} replies, {outcomes['message']} messages; no hang, no orphan")


if __name__ == "__main__":
    main()
