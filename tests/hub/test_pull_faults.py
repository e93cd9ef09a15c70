"""What can go wrong, each with its promised end: the right file, or a clear error and nothing loadable."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import hf_hub_download

from spnl_tui.errors import HubError, PullError
from spnl_tui.hub.pulls import transfer
from spnl_tui.hub.pulls.pacing import Backoff
from spnl_tui.hub.pulls.pull import DiskFullError, PullEvent, PullProgressed, PullRequest
from tests.support.hub import LoopbackHub
from tests.support.hub_content import BLOCK, Pattern
from tests.support.pulls import (
    FILE,
    QUICK,
    REPO,
    assert_sound,
    blobs,
    leftovers,
    notes,
    part_files,
    run_pull,
)

SIZE = 3 * BLOCK + 17
CONTENT = Pattern(SIZE)


@pytest.fixture(autouse=True)
def _repository(hub: LoopbackHub) -> None:
    hub.add_repo(REPO, {FILE: CONTENT})


def fault(kind: str, **fields: object) -> tuple[str, dict[str, object]]:
    return kind, fields


HUB = {"where": "hub", "path": "/resolve/"}
API = {"where": "hub", "path": "/api/models"}
CDN = {"where": "cdn"}

SILENCE = "no bytes for 0.3 s"
SURVIVED = {
    "the API hangs": (fault("hang_before_headers", **API), SILENCE),
    "the hub hangs before headers": (fault("hang_before_headers", **HUB), SILENCE),
    "the CDN hangs before headers": (fault("hang_before_headers", **CDN), SILENCE),
    "a hang in the body": (fault("hang_in_body", after=BLOCK), SILENCE),
    "FIN in the body": (fault("fin_in_body", after=BLOCK), "the connection closed early"),
    "RST in the body": (fault("rst_in_body", after=BLOCK), "the connection broke"),
    "RST before the body": (fault("rst_in_body", after=0), "the connection broke"),
    "short content": (fault("short", after=BLOCK), "the connection closed early"),
    "500 once from the API": (fault("status", status=500, **API), "the hub answered 500"),
    "500 once from the hub": (fault("status", status=500, **HUB), "the server answered 500"),
    "503 once from the CDN": (fault("status", status=503, **CDN), "the server answered 503"),
    "an expired link": (fault("status", status=403, **CDN), "the link had expired"),
    "429 without Retry-After": (fault("status", status=429, **HUB), "the hub asks to slow down"),
    "429 from the API": (fault("status", status=429, **API), "the hub answered 429"),
    "a network that wants a login": (fault("status", status=200, **API), "the answer is not the hub's"),
}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why each pause between two tries was made."""
    reasons: list[str] = []
    wait = Backoff.wait

    def recording(self: Backoff, why: str, wait_s: float | None) -> None:
        reasons.append(why)
        wait(self, why, wait_s)

    monkeypatch.setattr(Backoff, "wait", recording)
    return reasons


@pytest.mark.parametrize("name", SURVIVED)
async def test_transient_fault_is_survived(
    hub: LoopbackHub, cache: Path, pauses: list[str], name: str
) -> None:
    (kind, fields), why = SURVIVED[name]
    hub.faults.add(kind, **fields)  # type: ignore[arg-type]
    silent = why == SILENCE
    options = replace(QUICK, stall_s=0.3, connect_s=0.3) if silent else QUICK
    finished = await run_pull(hub, cache, options=options)
    assert finished.files[0].stat().st_size == SIZE
    assert set(pauses) == {why}
    assert len(pauses) == 1 or silent
    assert finished.fetched == SIZE, "nothing that had come was fetched again"
    assert_sound(cache)
    assert leftovers(cache) == []


async def test_stall_shows_the_next_try(hub: LoopbackHub, cache: Path) -> None:
    hub.faults.add("fin_in_body", after=BLOCK)
    events: list[PullEvent] = []
    await run_pull(hub, cache, options=replace(QUICK, backoff_s=0.8, backoff_max_s=0.8), events=events)
    (words,) = {e.words for e in events if isinstance(e, PullProgressed) and e.stage == "stalled"}
    assert words == "stalled (the connection closed early) – retrying in 1 s"


@pytest.mark.slow
async def test_patience_lasts_while_data_arrives(hub: LoopbackHub, cache: Path) -> None:
    hub.faults.add("fin_in_body", after=SIZE // 12, times=None)
    finished = await run_pull(
        hub, cache, options=replace(QUICK, backoff_s=0.2, backoff_max_s=0.2, patience_s=2)
    )
    # Twelve pauses, together longer than the patience.
    assert len(hub.downloads(FILE)) // 2 >= 12
    assert finished.fetched == SIZE


async def test_retry_after_is_obeyed(hub: LoopbackHub, cache: Path) -> None:
    import time

    hub.faults.add("status", status=429, retry_after="1", **HUB)
    begun = time.monotonic()
    await run_pull(hub, cache)
    assert time.monotonic() - begun >= 1


async def test_ignored_range_starts_over_and_says_so(hub: LoopbackHub, cache: Path) -> None:
    hub.faults.add("fin_in_body", after=BLOCK)
    hub.faults.add("ignore_range", **CDN)
    events: list[PullEvent] = []
    finished = await run_pull(hub, cache, events=events)
    assert notes(events) == [f"{FILE} starts over: the server cannot resume in the middle"]
    assert finished.fetched == SIZE + BLOCK
    assert_sound(cache)


async def test_ignored_range_after_another_break_ends_well(hub: LoopbackHub, cache: Path) -> None:
    hub.faults.add("fin_in_body", after=2 * BLOCK)
    hub.faults.add("ignore_range", **CDN)
    hub.faults.add("rst_in_body", after=BLOCK)
    hub.faults.add("ignore_range", **CDN)
    # The first "ignore_range" is spent on the second request; the third breaks off in its range.
    await run_pull(hub, cache)
    assert_sound(cache)


async def test_status_416_starts_over(hub: LoopbackHub, cache: Path) -> None:
    hub.faults.add("fin_in_body", after=BLOCK)
    hub.faults.add("status", status=416, **CDN)
    events: list[PullEvent] = []
    await run_pull(hub, cache, events=events)
    assert notes(events) == [f"{FILE} starts over: the server cannot resume in the middle"]
    assert hub.downloads(FILE)[-1].range is None
    assert_sound(cache)


async def test_wrong_content_is_fetched_again(hub: LoopbackHub, cache: Path) -> None:
    hub.faults.add("wrong_content", after=BLOCK + 5)
    events: list[PullEvent] = []
    await run_pull(hub, cache, events=events)
    assert notes(events) == [f"{FILE} starts over: it did not match its hash"]
    assert_sound(cache)


async def test_content_that_stays_wrong_is_never_installed(hub: LoopbackHub, cache: Path) -> None:
    hub.faults.add("wrong_content", after=5, times=None)
    with pytest.raises(PullError, match="differs from the hub's description"):
        await run_pull(hub, cache)
    assert part_files(cache) == []


async def test_wrong_small_file_is_never_installed(hub: LoopbackHub, cache: Path) -> None:
    hub.repositories[REPO].commit({"config.json": '{"a": 1}'})
    hub.faults.add("wrong_content", path="config.json", after=2, times=None)
    with pytest.raises(PullError, match=r"config\.json differs from"):
        await run_pull(hub, cache, PullRequest(REPO, ("config.json",)))
    assert part_files(cache) == []


async def _break_off(hub: LoopbackHub, cache: Path) -> Path:
    """A pull that ended with one block of the file on disk; gives the part."""
    hub.faults.add("fin_in_body", after=BLOCK)
    hub.faults.add("status", status=410, skip=1, **HUB)
    with pytest.raises(HubError):
        await run_pull(hub, cache)
    hub.faults.clear()
    (part,) = blobs(cache)
    assert part.stat().st_size == BLOCK
    return part


async def test_file_changed_between_two_tries_starts_over(hub: LoopbackHub, cache: Path) -> None:
    await _break_off(hub, cache)
    hub.repositories[REPO].commit({FILE: Pattern(SIZE, seed=1)})
    events: list[PullEvent] = []
    finished = await run_pull(hub, cache, events=events)
    assert notes(events) == [f"{FILE} starts over: it has changed on the hub"]
    assert finished.commit == hub.repositories[REPO].head
    assert [blob.name for blob in blobs(cache)] == [Pattern(SIZE, seed=1).sha256]
    assert_sound(cache)


async def test_commit_during_a_pull_does_not_disturb_it(hub: LoopbackHub, cache: Path) -> None:
    before = hub.repositories[REPO].head
    hub.faults.add("fin_in_body", after=BLOCK)
    events: list[PullEvent] = []

    class Committing(list[PullEvent]):
        def append(self, event: PullEvent) -> None:
            if getattr(event, "stage", "") == "stalled" and hub.repositories[REPO].head == before:
                hub.repositories[REPO].commit({FILE: Pattern(SIZE, seed=1)})
            super().append(event)

    finished = await run_pull(
        hub, cache, options=replace(QUICK, backoff_s=0.8, backoff_max_s=0.8), events=(events := Committing())
    )
    assert hub.repositories[REPO].head != before
    assert finished.commit == before
    assert notes(events) == []
    assert_sound(cache)


async def test_part_longer_than_the_file_starts_over(hub: LoopbackHub, cache: Path) -> None:
    part = await _break_off(hub, cache)
    part.write_bytes(b"x" * (SIZE + 1))
    events: list[PullEvent] = []
    await run_pull(hub, cache, events=events)
    assert notes(events) == [f"{FILE} starts over: the partial file was too long"]
    assert_sound(cache)
    assert leftovers(cache) == []


@pytest.mark.parametrize("length", [BLOCK, SIZE], ids=["in part", "whole"])
async def test_corrupted_part_starts_over(hub: LoopbackHub, cache: Path, length: int) -> None:
    part = await _break_off(hub, cache)
    part.write_bytes(b"GGUF".ljust(length, b"\0"))
    events: list[PullEvent] = []
    await run_pull(hub, cache, events=events)
    assert notes(events) == [f"{FILE} starts over: it did not match its hash"]
    assert_sound(cache)
    assert leftovers(cache) == []


async def test_complete_part_is_only_verified(hub: LoopbackHub, cache: Path) -> None:
    part = await _break_off(hub, cache)
    part.write_bytes(CONTENT.read(0, SIZE))
    sent = hub.sent(FILE)
    finished = await run_pull(hub, cache)
    assert (finished.fetched, hub.sent(FILE)) == (0, sent)
    assert_sound(cache)


async def test_part_is_reused_by_another_revision(hub: LoopbackHub, cache: Path) -> None:
    await _break_off(hub, cache)
    by_commit = PullRequest(REPO, (FILE,), hub.repositories[REPO].head)
    assert (await run_pull(hub, cache, by_commit)).fetched == SIZE - BLOCK
    assert leftovers(cache) == []


async def test_part_is_removed_when_another_tool_was_faster(hub: LoopbackHub, cache: Path) -> None:
    await _break_off(hub, cache)
    await asyncio.to_thread(hf_hub_download, REPO, FILE, cache_dir=cache, endpoint=hub.endpoint, token=False)
    assert leftovers(cache) != []
    assert (await run_pull(hub, cache)).fetched == 0
    assert leftovers(cache) == []


# ── final refusals ───────────────────────────────────────────────────────────────────────────────


def _gated(hub: LoopbackHub) -> None:
    hub.repositories[REPO].gated = True


def _private(hub: LoopbackHub) -> None:
    hub.repositories[REPO].private = True


def _failing(where: dict[str, Any], status: int) -> Callable[[LoopbackHub], None]:
    def arrange(hub: LoopbackHub) -> None:
        hub.faults.add("status", status=status, times=None, **where)

    return arrange


REFUSED = {
    "401": ("hf_wrong", lambda hub: None, "refused the token", "hf auth login"),
    "401 gated": (None, _gated, "is gated", f"/{REPO}, then log in"),
    "403 gated": ("hf_alice", _gated, "is gated", f"/{REPO}, then log in"),
    "403": (None, _failing(HUB, 403), "is denied", "use a token that may read it"),
    "404 private": ("hf_alice", _private, "was not found", "log in"),
    "404": (None, _failing(HUB, 404), f"has no {FILE}", "/tree/main"),
    "410": (None, _failing(HUB, 410), "refused", ""),
    "500 for ever from the API": (None, _failing(API, 500), "made no progress", "resume"),
    "500 for ever from the CDN": (None, _failing(CDN, 500), "made no progress", "resume"),
    "403 for ever from the CDN": (None, _failing(CDN, 403), "made no progress", "resume"),
    "429 for ever": (None, _failing(HUB, 429), "made no progress", "resume"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_final_refusal_ends_the_pull(hub: LoopbackHub, cache: Path, name: str) -> None:
    token, arrange, title, hint = REFUSED[name]
    arrange(hub)
    with pytest.raises(HubError) as caught:
        await run_pull(hub, cache, token=token, options=replace(QUICK, patience_s=0.5))
    assert title in caught.value.title
    assert hint in caught.value.hint
    assert "hf_" not in str(caught.value)
    assert [path for path in part_files(cache) if path.suffix != ".part"] == []


async def test_a_refused_connection(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(HubError, match="cannot be reached"):
        await run_pull(endpoint, cache, options=replace(QUICK, patience_s=0.5))


async def test_failed_name_resolution_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*args: object, **kwargs: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(HubError, match="cannot be reached"):
        await run_pull("http://hub.invalid", cache, options=replace(QUICK, patience_s=0.5))


async def test_malformed_address_is_not_retried(cache: Path) -> None:
    with pytest.raises(HubError, match="cannot be sent"):
        await run_pull("gopher://127.0.0.1", cache, options=replace(QUICK, patience_s=None))


# ── the disk ─────────────────────────────────────────────────────────────────────────────────────


async def test_missing_space_ends_a_pull_before_it_starts(hub: LoopbackHub, cache: Path) -> None:
    with pytest.raises(DiskFullError) as caught:
        await run_pull(hub, cache, options=replace(QUICK, reserve=10**18))
    assert caught.value.missing > 10**17
    assert "TB more are needed" in caught.value.message
    assert part_files(cache) == []
    assert hub.downloads(FILE) == []


async def test_full_disk_makes_room_and_suggests_deletions(
    hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 0
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    asked: list[int] = []

    def make_room(place: Path, missing: int) -> str:
        nonlocal free
        asked.append(missing)
        free = SIZE * (len(asked) - 1)
        return "Delete what can go: spnl-chat rm acme/Old"

    options = replace(QUICK, reserve=0, make_room=make_room)
    with pytest.raises(DiskFullError) as caught:
        await run_pull(hub, cache, options=options)
    assert caught.value.hint.startswith("Delete what can go: spnl-chat rm acme/Old")
    await run_pull(hub, cache, options=options)
    assert asked == [SIZE, SIZE]
    assert_sound(cache)


async def test_space_that_runs_out_pauses_the_pull(
    hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_usage(path: Path) -> object:
        # Something else fills the disk as soon as the first bytes are there.
        class Usage:
            free = 0 if any(part.stat().st_size for part in blobs(cache)) else SIZE

        return Usage

    monkeypatch.setattr(transfer.shutil, "disk_usage", disk_usage)
    with pytest.raises(DiskFullError) as caught:
        await run_pull(hub, cache)
    assert 0 < caught.value.missing < SIZE
    monkeypatch.undo()
    kept = blobs(cache)[0].stat().st_size
    assert (await run_pull(hub, cache)).fetched == SIZE - kept
    assert_sound(cache)


@pytest.mark.parametrize(
    ("code", "error", "title"),
    [
        (errno.ENOSPC, DiskFullError, "The disk is full"),
        (errno.EDQUOT, DiskFullError, "The disk is full"),
        (errno.EFBIG, PullError, "The file is too large for this disk"),
        (errno.EIO, PullError, "The cache cannot be written"),
    ],
)
async def test_failed_write_keeps_the_part_and_resumes(
    hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type, title: str
) -> None:
    class Failing:
        """A file on a disk that takes one block."""

        def __init__(self, file: Any) -> None:
            self._file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def __enter__(self) -> Failing:
            return self

        def __exit__(self, *args: object) -> None:
            self._file.close()

        def write(self, data: memoryview) -> int:
            room = BLOCK - self._file.tell()
            if not room:
                raise OSError(code, "as arranged")
            return int(self._file.write(data[:room]))

    monkeypatch.setattr(transfer, "open", lambda *a, **k: Failing(open(*a, **k)), raising=False)  # noqa: SIM115
    with pytest.raises(error, match=title):
        await run_pull(hub, cache)
    monkeypatch.undo()
    assert [part.stat().st_size for part in blobs(cache)] == [BLOCK]
    assert (await run_pull(hub, cache)).fetched == SIZE - BLOCK
    assert_sound(cache)


async def test_unwritable_cache_is_named(hub: LoopbackHub, cache: Path) -> None:
    await asyncio.to_thread(cache.touch)  # a file instead of a directory: root may write to any of these
    with pytest.raises(PullError, match="The cache cannot be written") as caught:
        await run_pull(hub, cache)
    assert "HF_HOME" in caught.value.hint
