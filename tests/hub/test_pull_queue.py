"""The queue: limits, order, pause and resume, cancel and undo, and what outlives the program."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls import queued_pull as download_module
from spnl_tui.hub.pulls.progress import PullFinished
from spnl_tui.hub.pulls.pull import PullOptions, PullRequest, RateLimit
from spnl_tui.hub.pulls.queue import PullQueue, PullsChanged, QueuedPull
from tests.support.hub import LoopbackHub
from tests.support.hub_content import BLOCK, Pattern
from tests.support.pulls import QUICK, assert_sound, leftovers, part_files, part_size
from tests.support.waiting import wait_until

SIZE = 4 * BLOCK


def _request(number: int) -> PullRequest:
    return PullRequest(f"acme/m{number}", (f"m{number}.gguf",))


@pytest.fixture(autouse=True)
def _repositories(hub: LoopbackHub) -> None:
    for number in range(4):
        hub.add_repo(f"acme/m{number}", {f"m{number}.gguf": Pattern(SIZE, seed=number)})


@pytest.fixture
def opened(hub: LoopbackHub, cache: Path, tmp_path: Path) -> Callable[..., object]:
    """Open the queue, as one run of the program does."""

    @asynccontextmanager
    async def _open(
        options: PullOptions = QUICK, limit: int = 2, undo_s: float = 30, rate: RateLimit | None = None
    ) -> AsyncIterator[PullQueue]:
        queue = PullQueue(
            tmp_path / "state" / "downloads.json",
            hub=HubAccess(hub.endpoint, False),
            cache=cache,
            options=options,
            limit=limit,
            undo_s=undo_s,
            rate=rate,
        )
        queue.restore()
        try:
            yield queue
        finally:
            await queue.close()

    return _open


def _states(queue: PullQueue) -> list[str]:
    return [item.state for item in queue.items]


def _get(queue: PullQueue, id: str) -> QueuedPull:
    return next(item for item in queue.items if item.id == id)


def _finished(queue: PullQueue, id: str) -> PullFinished:
    finished = _get(queue, id).finished
    assert finished is not None
    return finished


def _hang(hub: LoopbackHub, number: int, after: int = BLOCK) -> None:
    """Let a pull stay where it is, until the faults are cleared."""
    hub.faults.add("hang_in_body", path=f"m{number}.gguf", after=after, times=None)


PATIENT = replace(QUICK, patience_s=None)


async def test_pulls_run_in_order_up_to_the_limit(hub: LoopbackHub, cache: Path, opened) -> None:
    for number in (0, 1):
        _hang(hub, number)
    async with opened(PATIENT, limit=2) as queue:
        ids = [queue.add(_request(number), f"model {number}") for number in range(4)]
        await wait_until(lambda: _states(queue) == ["pulling", "pulling", "waiting", "waiting"])
        assert queue.under_way == 4
        assert _get(queue, ids[2]).words == "waiting"
        queue.move(ids[3], 2)
        assert [item.id for item in queue.items] == [ids[0], ids[1], ids[3], ids[2]]
        queue.pause(ids[0])
        await wait_until(lambda: _get(queue, ids[3]).state == "done")
        await wait_until(lambda: _get(queue, ids[2]).state == "done")
        assert _get(queue, ids[0]).state == "paused"
        assert queue.under_way == 1
        order = [r.path for r in hub.downloads() if r.where == "cdn"]
        assert order.index("m3.gguf") < order.index("m2.gguf")
        finished = _get(queue, ids[3]).finished
        assert finished is not None
        assert finished.files[0].name == "m3.gguf"
    assert_sound(cache)


async def test_paused_pull_resumes_where_it_stopped(hub: LoopbackHub, cache: Path, opened) -> None:
    _hang(hub, 0)
    async with opened(PATIENT) as queue:
        id = queue.add(_request(0), "zero")
        await wait_until(lambda: _get(queue, id).done == BLOCK)
        queue.pause(id)
        assert _get(queue, id).words == "paused"
        assert _get(queue, id).done == BLOCK
        hub.faults.clear()
        queue.resume(id)
        await wait_until(lambda: _get(queue, id).state == "done")
        assert (_get(queue, id).done, _get(queue, id).total) == (SIZE, SIZE)
        assert _finished(queue, id).fetched == SIZE - BLOCK
    assert_sound(cache)
    assert leftovers(cache) == []


async def test_events_hold_the_queue_and_come_at_most_ten_times_a_second(hub: LoopbackHub, opened) -> None:
    for number in range(3):
        hub.faults.add("slow", path=f"m{number}.gguf", rate=4 * BLOCK)
    seen: list[PullsChanged] = []
    async with opened(limit=3) as queue:
        begun = time.monotonic()
        for number in range(3):
            queue.add(_request(number), f"model {number}")

        async with aclosing(queue.events()) as events:
            async for event in events:
                seen.append(event)
                if sum(len(e.ended) for e in seen) == 3:
                    break
        assert len(seen) <= 10 * (time.monotonic() - begun) + 2
    assert all(len(event.pulls) == 3 for event in seen)
    assert {item.name for event in seen for item in event.ended} == {"model 0", "model 1", "model 2"}
    assert all(item.state == "done" for event in seen for item in event.ended)
    done = [event.pulls[0].done for event in seen]
    assert done == sorted(done)
    assert len(set(done)) > 2


async def test_events_end_with_the_queue(opened) -> None:
    async with opened() as queue:
        events = queue.events()
        assert (await anext(events)).pulls == ()
        waiting = asyncio.ensure_future(anext(events))
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 5)


async def test_cancelled_pull_comes_back_by_undo(hub: LoopbackHub, cache: Path, opened) -> None:
    _hang(hub, 1)
    async with opened(PATIENT) as queue:
        ids = [queue.add(_request(number), f"model {number}") for number in (0, 1, 2)]
        await wait_until(lambda: _get(queue, ids[1]).done == BLOCK)
        queue.cancel(ids[1])
        assert [item.id for item in queue.items] == [ids[0], ids[2]]
        hub.faults.clear()
        assert queue.undo_cancel() == ids[1]
        assert [item.id for item in queue.items] == ids
        await wait_until(lambda: _states(queue) == ["done"] * 3)
        assert _finished(queue, ids[1]).fetched == SIZE - BLOCK
        assert queue.undo_cancel() is None
    assert leftovers(cache) == []


@pytest.mark.slow
async def test_cancelled_pull_is_dropped_after_the_undo_time(hub: LoopbackHub, cache: Path, opened) -> None:
    _hang(hub, 0)
    async with opened(PATIENT, undo_s=0.3) as queue:
        id = queue.add(_request(0), "zero")
        await wait_until(lambda: _get(queue, id).done == BLOCK)
        queue.cancel(id)
        await wait_until(lambda: part_files(cache) == [])
        assert queue.undo_cancel() is None
        assert queue.items == ()


@pytest.mark.parametrize("keep", [True, False])
async def test_cancelled_pull_keeps_its_part_only_on_request(
    hub: LoopbackHub, cache: Path, opened, keep: bool
) -> None:
    _hang(hub, 0)
    async with opened(PATIENT) as queue:
        id = queue.add(_request(0), "zero")
        await wait_until(lambda: _get(queue, id).done == BLOCK)
        queue.cancel(id, keep_part=keep)
    # With a part stays the note of what it is a part of.
    assert [path.suffix for path in part_files(cache)] == ([".part", ".json"] if keep else [])


async def test_new_request_for_a_cancelled_pull_keeps_its_part(hub: LoopbackHub, cache: Path, opened) -> None:
    _hang(hub, 0)
    async with opened(PATIENT, undo_s=0.2) as queue:
        id = queue.add(_request(0), "zero")
        await wait_until(lambda: _get(queue, id).done == BLOCK)
        queue.cancel(id)
        hub.faults.clear()
        again = queue.add(_request(0), "zero")
        assert queue.undo_cancel() is None, "it would be there twice"
        await wait_until(lambda: _get(queue, again).state == "done")
        assert _finished(queue, again).fetched == SIZE - BLOCK
        assert queue.add(_request(0), "zero") == again


async def test_failed_pull_says_why_and_can_be_retried(hub: LoopbackHub, opened) -> None:
    hub.repositories["acme/m0"].gated = True
    async with opened() as queue:
        id = queue.add(_request(0), "zero")
        await wait_until(lambda: _get(queue, id).state == "failed")
        assert _get(queue, id).words == "failed: acme/m0 is gated"
        error = _get(queue, id).error
        assert error is not None
        assert "Accept it at" in error.hint
        hub.repositories["acme/m0"].gated = False
        queue.resume(id)
        await wait_until(lambda: _get(queue, id).state == "done")
        assert _get(queue, id).error is None


async def test_full_disk_pauses_and_names_the_missing_bytes(hub: LoopbackHub, opened) -> None:
    async with opened(replace(QUICK, reserve=10**18)) as queue:
        id = queue.add(_request(0), "zero")
        await wait_until(lambda: _get(queue, id).state == "paused")
        assert _get(queue, id).words.startswith("paused: The disk is full, ")
        assert "more are needed" in _get(queue, id).words


async def test_pull_without_a_network_waits_and_resumes(hub: LoopbackHub, opened) -> None:
    hub.faults.add("status", status=503, times=None)
    async with opened(replace(PATIENT, backoff_s=0.5, backoff_max_s=0.5)) as queue:
        id = queue.add(_request(0), "zero")
        words = "stalled (the hub answered 503) – retrying in 1 s"
        await wait_until(lambda: _get(queue, id).words == words)
        hub.faults.clear()
        await wait_until(lambda: _get(queue, id).state == "done")


# ── from one run to the next ─────────────────────────────────────────────────────────────────────


async def test_next_run_offers_to_resume(hub: LoopbackHub, cache: Path, opened) -> None:
    for number in (0, 1):
        _hang(hub, number)
    async with opened(PATIENT, limit=1) as queue:
        ids = [queue.add(_request(number), f"model {number}") for number in range(3)]
        await wait_until(lambda: _get(queue, ids[0]).done == BLOCK)
        queue.pause(ids[0])
        await wait_until(lambda: _get(queue, ids[1]).done == BLOCK)
    hub.faults.clear()
    requests = len(hub.requests)

    async with opened() as queue:
        assert [(item.name, item.state, item.left_over) for item in queue.items] == [
            ("model 0", "paused", False),
            ("model 1", "paused", True),
            ("model 2", "paused", True),
        ]
        assert queue.items[1].words == "paused: the program ended"
        assert (queue.items[1].done, queue.items[1].total) == (BLOCK, SIZE)
        assert len(hub.requests) == requests, "nothing begins by itself"
        queue.go_on()
        await wait_until(lambda: _states(queue) == ["paused", "done", "done"])
        assert queue.items[1].finished.fetched == SIZE - BLOCK

    async with opened() as queue:
        assert [item.name for item in queue.items] == ["model 0"]
        assert not queue.items[0].left_over


async def test_interrupted_pulls_wait_for_the_user(hub: LoopbackHub, opened) -> None:
    _hang(hub, 0)
    async with opened(PATIENT) as queue:
        queue.add(_request(0), "zero")
    for _ in range(2):
        async with opened() as queue:
            assert [item.left_over for item in queue.items] == [True]


@pytest.mark.slow
async def test_killed_program_leaves_a_queue_that_resumes(
    hub: LoopbackHub, cache: Path, tmp_path: Path, opened
) -> None:
    _hang(hub, 0)
    script = """
import asyncio, sys
from pathlib import Path
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.queue import PullQueue
from spnl_tui.hub.pulls.pull import PullRequest
async def main():
    queue = PullQueue(Path(sys.argv[1]), hub=HubAccess(sys.argv[2], False), cache=Path(sys.argv[3]))
    queue.restore()
    queue.add(PullRequest("acme/m0", ("m0.gguf",)), "zero")
    await asyncio.sleep(60)
asyncio.run(main())
"""
    state = tmp_path / "state" / "downloads.json"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, state, hub.endpoint, cache)
    await wait_until(lambda: part_size(cache) == BLOCK)
    process.kill()
    await process.wait()
    hub.faults.clear()
    async with opened() as queue:
        assert [item.left_over for item in queue.items] == [True]
        queue.go_on()
        await wait_until(lambda: _states(queue) == ["done"])
        assert queue.items[0].finished.fetched == SIZE - BLOCK
    assert_sound(cache)
    assert leftovers(cache) == []


def _hanging(hub: LoopbackHub) -> set[str]:
    """The ends of the paths that were asked for and not answered."""
    return {request.path.split("/")[-1] for request in hub.requests if not request.finished}


async def test_quit_is_bounded_while_the_hub_is_silent(hub: LoopbackHub, tmp_path: Path, opened) -> None:
    hub.faults.add("hang_before_headers", path="m0.gguf", times=None)
    hub.faults.add("hang_before_headers", path="acme/m1", times=None)
    async with opened(replace(PATIENT, connect_s=60)) as queue:
        for number in (0, 1):
            queue.add(_request(number), f"model {number}")
        await wait_until(lambda: _hanging(hub) == {"m0.gguf", "main"})
        await asyncio.wait_for(queue.close(), 10)
        assert _hanging(hub) == {"m0.gguf", "main"}, "it did not wait for the hub"
    saved = json.loads(await asyncio.to_thread((tmp_path / "state/downloads.json").read_text))
    assert [item["state"] for item in saved["downloads"]] == ["under way", "under way"]


async def test_second_program_leaves_the_list_alone(opened) -> None:
    async with opened() as first, opened() as second:
        assert first.notice == ""
        assert "Another spnl-chat saves the list" in second.notice
        second.add(_request(0), "zero")
        first.add(_request(1), "one")
        await wait_until(lambda: _states(first) + _states(second) == ["done", "done"])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"downloads": [{"id": 1}], "dropping": []}', "\xff"])
async def test_broken_list_is_moved_aside(tmp_path: Path, opened, content: str) -> None:
    state = tmp_path / "state" / "downloads.json"
    state.parent.mkdir()
    state.write_text(content, encoding="latin-1")
    async with opened() as queue:
        assert queue.items == ()
        assert "could not be read and was moved" in queue.notice
    assert state.with_suffix(".broken").read_text(encoding="latin-1") == content


async def test_unwritable_list_does_not_stop_pulls(tmp_path: Path, opened) -> None:
    (tmp_path / "state").touch()  # a file where the directory should be
    async with opened() as queue:
        assert "cannot be saved" in queue.notice
        queue.add(_request(0), "zero")
        await wait_until(lambda: _states(queue) == ["done"])


def test_every_state_has_a_text() -> None:
    for state in ("paused", "failed", "done", "under way"):
        entry = download_module.Entry("id", "name", _request(0), state=state)
        assert download_module.snapshot(entry).words
