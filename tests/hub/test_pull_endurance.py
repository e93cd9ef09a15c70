"""Pulls that are killed, disturbed at random, or not alone."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import try_to_load_from_cache

from spnl_tui.errors import SpnlError
from spnl_tui.hub.pulls.pull import DiskFullError, PullEvent, PullRequest
from tests.support.hub import LoopbackHub
from tests.support.hub_content import BLOCK, Pattern
from tests.support.hub_faults import FaultKind
from tests.support.pulls import (
    FILE,
    QUICK,
    REPO,
    assert_sound,
    blobs,
    leftovers,
    part_size,
    run_pull,
    stages,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

BIG = 100 * BLOCK + 12345


@contextmanager
def _child(hub: LoopbackHub, cache: Path, script: str = "") -> Iterator[subprocess.Popen[str]]:
    """A program that pulls, or runs this script."""
    command = ["-c", script] if script else ["-m", "tests.support.pull_child"]
    arguments = [hub.endpoint, str(cache), REPO, FILE]
    process = subprocess.Popen(
        [sys.executable, *command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_twenty_kills_lose_nothing(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(BIG)})
    hub.faults.add("slow", rate=40 * BLOCK, times=None)  # time enough to aim
    sizes: list[int] = []
    for target in sorted(random.Random(4).sample(range(BIG - 30 * BLOCK), 20)):
        with _child(hub, cache) as process:
            at_least = max(target, sizes[-1] + 1 if sizes else 1)
            await wait_until(lambda at_least=at_least: part_size(cache) >= at_least, 60)
            assert process.poll() is None
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        sizes.append(part_size(cache))

    hub.faults.clear()
    with _child(hub, cache) as process:
        output, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, errors
    path, fetched = output.split()
    # Each program asked for exactly what was not on disk when the one before it was killed.
    requests = hub.downloads(FILE)
    served = [request for request in requests if request.where == "cdn"]
    assert [request.start for request in served] == [0, *sizes]
    assert all(request.range for request in served[1:])
    assert int(fetched) == BIG - sizes[-1]
    assert try_to_load_from_cache(REPO, FILE, cache) == path
    assert_sound(cache)
    assert leftovers(cache) == []
    assert len(blobs(cache)) == 1


async def test_two_programs_share_one_pull(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(8 * BLOCK)})
    hub.faults.add("slow", rate=4 * BLOCK)
    events: list[PullEvent] = []
    with _child(hub, cache) as process:
        await wait_until(lambda: part_size(cache) > 0)
        finished = await run_pull(hub, cache, events=events)
        output, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, errors
    assert output.split()[0] == str(finished.files[0])
    assert "waiting" in stages(events)
    assert finished.fetched == 0
    assert len([r for r in hub.downloads(FILE) if r.where == "cdn"]) == 1
    assert leftovers(cache) == []


async def test_second_program_takes_over_a_killed_pull(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(8 * BLOCK)})
    hub.faults.add("hang_in_body", after=2 * BLOCK)
    with _child(hub, cache) as process:
        await wait_until(lambda: part_size(cache) >= BLOCK)
        events: list[PullEvent] = []
        second = asyncio.create_task(run_pull(hub, cache, events=events))
        await wait_until(lambda: "waiting" in stages(events))
        process.kill()
        process.wait()
        finished = await second
    assert 0 < finished.fetched <= 7 * BLOCK
    assert_sound(cache)
    assert leftovers(cache) == []


async def test_huggingface_hub_waits_for_our_pull(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(8 * BLOCK)})
    hub.faults.add("slow", rate=4 * BLOCK)
    script = """
import sys
from huggingface_hub import hf_hub_download
endpoint, cache, repo, file = sys.argv[1:]
print(hf_hub_download(repo, file, cache_dir=cache, endpoint=endpoint, token=False))
"""
    ours = asyncio.create_task(run_pull(hub, cache))
    await wait_until(lambda: part_size(cache) > 0)
    with _child(hub, cache, script) as process:
        finished = await ours
        output, errors = await asyncio.to_thread(process.communicate, timeout=60)
    assert output.strip() == str(finished.files[0]), errors
    assert len([r for r in hub.downloads(FILE) if r.where == "cdn"]) == 1
    assert leftovers(cache) == []


def _disturb(hub: LoopbackHub, file: str, size: int, chance: random.Random) -> None:
    kinds: tuple[FaultKind, ...] = (
        "status", "hang_before_headers", "hang_in_body", "fin_in_body", "rst_in_body",
        "ignore_range", "short", "wrong_content",
    )  # fmt: skip
    for _ in range(chance.randint(1, 6)):
        hub.faults.add(
            chance.choice(kinds),
            path=file,
            after=chance.randrange(size),
            status=chance.choice([401, 403, 404, 408, 416, 429, 500, 502, 503]),
            skip=chance.randint(0, 3),
            times=chance.choice([1, 1, 2]),
        )


async def test_hundred_disturbed_pulls_never_keep_a_wrong_file(hub: LoopbackHub, tmp_path: Path) -> None:
    chance = random.Random(20)
    options = replace(QUICK, stall_s=0.2, patience_s=20)
    outcomes = []

    async def one(number: int) -> None:
        repo, file, size = f"acme/m{number}", f"m{number:03}.gguf", chance.randrange(4, BLOCK // 2)
        hub.add_repo(repo, {file: Pattern(size, seed=number % 4)})
        cache = tmp_path / f"cache{number}"
        _disturb(hub, file, size, chance)
        try:
            await run_pull(hub, cache, PullRequest(repo, (file,)), options=options)
        except SpnlError as error:
            outcomes.append(error.title)
            assert_sound(cache)
            hub.faults.clear_for(file)
            await run_pull(hub, cache, PullRequest(repo, (file,)), options=options)
        else:
            outcomes.append("done")
        assert_sound(cache)
        assert len(blobs(cache)) == 1
        assert leftovers(cache) == []

    # Ten at a time: most of the time goes into waiting for stalls to be noticed.
    for first in range(0, 100, 10):
        await asyncio.gather(*(one(number) for number in range(first, first + 10)))
    # Faults of all kinds took place: some pulls were refused, most survived.
    assert outcomes.count("done") > 50
    assert any(outcome != "done" for outcome in outcomes)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for four blocks."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={4 * BLOCK}", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


async def test_full_disk_keeps_the_part_and_resumes(
    hub: LoopbackHub, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spnl_tui.hub.pulls import pull as module
    from spnl_tui.hub.pulls import transfer

    hub.add_repo(REPO, {FILE: Pattern(3 * BLOCK)})
    cache, filler = small_disk / "cache", small_disk / "filler"
    await asyncio.to_thread(filler.write_bytes, bytes(2 * BLOCK))
    with pytest.raises(DiskFullError) as caught:
        await run_pull(hub, cache)
    assert 0 < caught.value.missing <= 2 * BLOCK
    assert hub.downloads(FILE) == []

    # And if nobody had looked: the system itself says no.
    for place in (module, transfer):
        monkeypatch.setattr(place, "check_space", lambda *_: None)
    with pytest.raises(DiskFullError):
        await run_pull(hub, cache)
    kept = part_size(cache)
    assert kept > 0
    await asyncio.to_thread(filler.unlink)
    assert (await run_pull(hub, cache)).fetched == 3 * BLOCK - kept
    assert_sound(cache)
