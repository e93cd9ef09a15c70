"""Ranges of one file side by side, where they make it faster: nothing is fetched twice, or lost."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from spnl_tui.hub.access import HubAccess, RemoteFile
from spnl_tui.hub.pulls.ahead import Ahead
from spnl_tui.hub.pulls.pull import PullEvent, PullRequest, RateLimit, drop_parts, pull
from spnl_tui.hub.pulls.source import TryAgain
from tests.support.hub import LoggedRequest, LoopbackHub
from tests.support.hub_content import BLOCK, Pattern
from tests.support.pulls import (
    AHEAD,
    ASKED,
    FILE,
    REPO,
    assert_sound,
    blobs,
    leftovers,
    notes,
    part_files,
    part_size,
    run_pull,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SIZE = 12 * BLOCK + 345


@pytest.fixture(autouse=True)
def fine_grained(hub: LoopbackHub) -> None:
    """A slow body comes evenly, or a short measurement of its speed would be one of chance."""
    hub.chunk = 1 << 15


def _served(hub: LoopbackHub) -> list[LoggedRequest]:
    return [request for request in hub.downloads(FILE) if request.where == "cdn"]


def _stretches(cache: Path) -> list[Path]:
    """Those that have something in them."""
    found = []
    for path in part_files(cache):
        with suppress(FileNotFoundError):  # they come and go
            if path.name.count(".") == 3 and path.stat().st_size:
                found.append(path)
    return found


def _helpers() -> int:
    return sum(thread.name.startswith(f"pull {FILE} +") for thread in threading.enumerate())


async def test_connections_are_added_where_each_is_limited(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(SIZE)})
    hub.faults.add("slow", rate=4 * BLOCK, times=None)
    pulling = asyncio.create_task(run_pull(hub, cache, options=AHEAD))
    await wait_until(lambda: _helpers() == AHEAD.connections - 1, 20)
    assert (await pulling).fetched == SIZE  # no byte came twice
    await wait_until(lambda: _helpers() == 0)
    assert_sound(cache)
    assert leftovers(cache) == []
    assert len(blobs(cache)) == 1


class _Line(RateLimit):
    """As slow as a limit, and nobody has set one."""

    def __init__(self, bytes_per_s: float) -> None:
        super().__init__()
        self._line = RateLimit(bytes_per_s)

    def take(self, count: int, stop: threading.Event) -> None:
        self._line.take(count, stop)


async def test_none_is_tried_where_a_limit_is_reached(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(SIZE)})
    rate, options = RateLimit(4 * BLOCK), replace(AHEAD, trial_s=0.5)
    async with aclosing(
        pull(ASKED, hub=HubAccess(hub.endpoint, False), cache=cache, options=options, rate=rate)
    ) as stream:
        async for _ in stream:
            assert not _helpers()
    assert len(_served(hub)) == 1


async def test_one_connection_is_left_where_the_line_is_the_limit(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(SIZE)})
    access, most = HubAccess(hub.endpoint, False), 0
    options = replace(AHEAD, trial_s=0.3)
    async with aclosing(
        pull(ASKED, hub=access, cache=cache, options=options, rate=_Line(4 * BLOCK))
    ) as stream:
        async for _ in stream:
            most = max(most, _helpers())
    assert most == 1
    # The one that was tried brought what it had begun, and left the rest to the first.
    last = _served(hub)[-1]
    assert (last.range or "").endswith("-")
    assert last.sent > SIZE // 2
    assert_sound(cache)


@contextmanager
def _child(hub: LoopbackHub, cache: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        sys.executable,
        "-m",
        "tests.support.pull_child",
        hub.endpoint,
        str(cache),
        REPO,
        FILE,
        "ahead",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_kills_lose_nothing_that_came_ahead(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(SIZE)})
    hub.faults.add("slow", rate=3 * BLOCK, times=None)
    ahead_at_kill = 0
    for target in sorted(random.Random(4).sample(range(BLOCK, SIZE - 3 * BLOCK), 6)):
        begun = len(_served(hub))
        here = _covered(cache)
        with _child(hub, cache):
            at_least = max(target, part_size(cache) + BLOCK // 2)
            await wait_until(lambda at_least=at_least: part_size(cache) >= at_least, 60)
        ahead_at_kill += len(_stretches(cache))
        for request in _served(hub)[begun:]:
            start, stop = _asked(request)
            # The part's own request may be without an end: it is left where a stretch begins.
            assert not any(first < stop and start < last for first, last in here), (request.range, here)
    assert ahead_at_kill > 0

    hub.faults.clear()
    missing = SIZE - sum(last - first for first, last in _covered(cache))
    assert (await run_pull(hub, cache, options=AHEAD)).fetched == missing
    assert_sound(cache)
    assert leftovers(cache) == []


def _covered(cache: Path) -> list[tuple[int, int]]:
    """The ranges of the file that lie on the disk."""
    starts = [
        (int(path.name.split(".")[2]) if path.name.count(".") == 3 else 0, path) for path in part_files(cache)
    ]
    found = sorted((start, start + path.stat().st_size) for start, path in starts if path.suffix == ".part")
    # Killed while a stretch was being appended: the part has some of it already.
    own = found[0][1] if found else 0
    return found[:1] + [(max(first, own), last) for first, last in found[1:] if last > own]


def _asked(request: LoggedRequest) -> tuple[int, int]:
    """From where to where this request was read, as far as it was meant to be."""
    last = (request.range or "bytes=0-").partition("-")[2]
    return request.start, int(last) + 1 if last else request.start + 1


def test_a_stretch_goes_on_behind_what_is_known_to_be_right(tmp_path: Path) -> None:
    content = bytes(range(100))

    class Source:
        file = RemoteFile("m.gguf", len(content), "e", True)
        most = 10

        @contextmanager
        def open(self, start: int, end: int) -> Iterator[SimpleNamespace]:
            block = content[start : min(end, start + self.most)]
            yield SimpleNamespace(in_place=True, blocks=lambda: iter([block]))

    source, part = Source(), tmp_path / "e.key.part"
    ahead = Ahead(
        source,  # type: ignore[arg-type]  # all that is asked of one
        part,
        lambda: 0,
        options=replace(AHEAD, stretch=40),
        rate=RateLimit(),
        connections=threading.Semaphore(1),
        stop=threading.Event(),
    )
    with pytest.raises(TryAgain):
        ahead.fetch_further()
    stretch = tmp_path / "e.key.40.part"
    with stretch.open("ab") as file:
        file.write(b"half of a block")  # as a write on a full disk leaves it
    source.most = 100
    assert ahead.fetch_further()
    assert stretch.read_bytes() == content[40:80]


async def test_without_ranges_there_is_one_connection(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(SIZE)})
    hub.faults.add("slow", rate=8 * BLOCK)
    hub.faults.add("ignore_range", times=None)
    events: list[PullEvent] = []
    finished = await run_pull(hub, cache, options=AHEAD, events=events)
    assert finished.fetched == SIZE
    assert len(_served(hub)) == 2  # one that was tried, and refused
    assert_sound(cache)
    assert leftovers(cache) == []


async def test_a_broken_stretch_is_finished_by_another_connection(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(SIZE)})
    hub.faults.add("rst_in_body", skip=1, after=BLOCK // 8)
    hub.faults.add("status", skip=3, status=503, where="cdn")
    hub.faults.add("slow", rate=6 * BLOCK, times=None)
    finished = await run_pull(hub, cache, options=AHEAD)
    assert finished.fetched <= SIZE + BLOCK
    assert_sound(cache)
    assert leftovers(cache) == []


async def test_a_wrong_stretch_is_never_kept(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(SIZE)})
    hub.faults.add("slow", rate=6 * BLOCK)
    spoiled = hub.faults.add("wrong_content", after=2 * BLOCK, times=4)
    hub.faults.add("slow", rate=6 * BLOCK, times=8)
    events: list[PullEvent] = []
    await run_pull(hub, cache, options=AHEAD, events=events)
    assert spoiled.hits
    assert_sound(cache)
    assert leftovers(cache) == []
    assert notes(events) in ([], [f"{FILE} starts over: it did not match its hash"])


@pytest.mark.parametrize("how", ["cancelled", "left"])
async def test_what_came_ahead_is_dropped_with_the_part(hub: LoopbackHub, cache: Path, how: str) -> None:
    hub.add_repo(REPO, {FILE: Pattern(SIZE), "other.gguf": Pattern(BLOCK, seed=1)})
    hub.faults.add("slow", path=FILE, rate=4 * BLOCK, times=None)
    pulling = asyncio.create_task(run_pull(hub, cache, options=AHEAD))
    await wait_until(lambda: len(_stretches(cache)) > 1, 20)
    pulling.cancel()
    await asyncio.gather(pulling, return_exceptions=True)
    await wait_until(lambda: _helpers() == 0)
    assert _stretches(cache)
    if how == "cancelled":
        assert await asyncio.to_thread(drop_parts, ASKED, cache)
        assert part_files(cache) == []
    else:  # the branch has moved on, and the file with it
        hub.faults.clear()
        hub.repositories[REPO].commit({FILE: Pattern(BLOCK, seed=2)})
        await run_pull(hub, cache, PullRequest(REPO, (FILE,)), options=AHEAD)
        assert leftovers(cache) == []
        assert_sound(cache)
