"""A pull that goes well: into the Hugging Face cache, as huggingface_hub itself would, and only once."""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from contextlib import aclosing
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download, scan_cache_dir, try_to_load_from_cache

from spnl_tui.errors import HubError, PullError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.progress import PullProgressed, Speedometer
from spnl_tui.hub.pulls.pull import PullEvent, PullOptions, PullRequest, drop_parts, pull
from tests.support.hub import LoopbackHub
from tests.support.hub_content import BLOCK, Pattern
from tests.support.pulls import (
    ASKED,
    FILE,
    QUICK,
    REPO,
    assert_sound,
    blobs,
    leftovers,
    part_files,
    run_pull,
    stages,
)

SHARDS = tuple(f"big-0000{n}-of-00003.gguf" for n in (1, 2, 3))


async def test_shards_and_small_files_arrive_verified(hub: LoopbackHub, cache: Path) -> None:
    files = {name: Pattern(2 * BLOCK + n, seed=n) for n, name in enumerate(SHARDS)}
    repository = hub.add_repo(REPO, {**files, "sub/config.json": '{"a": 1}', "empty.txt": ""})
    events: list[PullEvent] = []
    wanted = (*SHARDS, "sub/config.json", "empty.txt")
    finished = await run_pull(hub, cache, PullRequest(REPO, wanted), events=events)

    assert finished.commit == repository.head
    assert [path.relative_to(finished.snapshot).as_posix() for path in finished.files] == list(wanted)
    assert finished.files[3].read_text() == '{"a": 1}'
    assert finished.fetched == sum(content.size for content in files.values()) + 8
    assert stages(events)[-1] == "done"
    last = [event for event in events if isinstance(event, PullProgressed)][-1]
    assert last.done == last.total == finished.fetched
    assert_sound(cache)
    assert leftovers(cache) == []


async def test_huggingface_hub_finds_pulled_files_in_the_cache(hub: LoopbackHub, cache: Path) -> None:
    repository = hub.add_repo(REPO, {FILE: Pattern(BLOCK), "config.json": "{}"})
    repository.refs["v1"] = repository.head
    finished = await run_pull(hub, cache, PullRequest(REPO, (FILE, "config.json"), "v1"))
    sent = hub.sent()

    for revision in ("v1", repository.head):
        assert try_to_load_from_cache(REPO, FILE, cache, revision) == str(finished.files[0])
    theirs = hf_hub_download(REPO, FILE, revision="v1", cache_dir=cache, endpoint=hub.endpoint, token=False)
    assert theirs == str(finished.files[0])
    assert hub.sent() == sent

    scan = scan_cache_dir(cache)
    assert scan.warnings == []
    (repo,) = scan.repos
    (revision_info,) = repo.revisions
    assert (repo.repo_id, revision_info.refs) == (REPO, {"v1"})
    assert {file.file_name for file in revision_info.files} == {FILE, "config.json"}


async def test_files_of_huggingface_hub_are_not_pulled_again(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(BLOCK)})
    theirs = hf_hub_download(REPO, FILE, cache_dir=cache, endpoint=hub.endpoint, token=False)
    sent = hub.sent()
    finished = await run_pull(hub, cache)
    assert (finished.files, finished.fetched) == ((Path(theirs),), 0)
    assert hub.sent() == sent


async def test_pull_leaves_the_same_tree_as_huggingface_hub(hub: LoopbackHub, cache: Path) -> None:
    def tree(root: Path) -> set[tuple[str, str]]:
        """Everything but the lock files and the tag for backup programs."""
        return {
            (path.relative_to(root).as_posix(), os.readlink(path) if path.is_symlink() else "")
            for path in (root / "models--acme--Tiny-GGUF").rglob("*")
        }

    hub.add_repo(REPO, {FILE: Pattern(BLOCK), "sub/config.json": "{}"})
    for name in (FILE, "sub/config.json"):
        hf_hub_download(REPO, name, cache_dir=cache / "theirs", endpoint=hub.endpoint, token=False)
    await run_pull(hub, cache / "ours", PullRequest(REPO, (FILE, "sub/config.json")))
    assert tree(cache / "ours") == tree(cache / "theirs")
    for name in ("ours", "theirs"):
        modes = {blob.stat().st_mode for blob in blobs(cache / name)}
        assert len(modes) == 1
    assert blobs(cache / "ours")[0].stat().st_mode == blobs(cache / "theirs")[0].stat().st_mode


async def test_name_in_another_case_is_stored_as_the_hub_spells_it(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: b"GGUF"})
    finished = await run_pull(hub, cache, PullRequest(REPO.upper(), (FILE,)))
    assert finished.repo == REPO
    assert finished.snapshot.parent.parent.name == "models--acme--Tiny-GGUF"


async def test_token_of_a_gated_pull_goes_to_the_hub_only(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: b"GGUF"}, gated=True, granted=["hf_alice"])
    await run_pull(hub, cache, token="hf_alice")
    assert {request.token for request in hub.requests if request.where == "hub"} == {"hf_alice"}
    assert {request.token for request in hub.requests if request.where == "cdn"} == {None}
    assert "hf_alice" not in repr(HubAccess(hub.endpoint, "hf_alice"))


async def test_tokens_and_signed_links_are_never_shown_or_logged(
    hub: LoopbackHub, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (token,) = hub.tokens  # not spelled out here: tracebacks hold the lines of this file
    caplog.set_level(logging.DEBUG)
    hub.add_repo(REPO, {FILE: b"GGUF"}, gated=True, granted=[token])
    hub.faults.add("status", status=503, where="cdn")
    events: list[PullEvent] = []
    await run_pull(hub, cache, token=token, events=events)
    hub.repositories[REPO].granted.clear()
    with pytest.raises(HubError) as caught:
        await run_pull(hub, cache / "other", token=token, events=events)
    told = f"{events} {caught.value} {caught.value!r} {''.join(traceback.format_exception(caught.value))}"
    assert token not in caplog.text + told
    assert "Signature" not in told


async def test_offline_mode_is_respected(
    hub: LoopbackHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="Pulls are switched off"):
        await run_pull(hub, cache)
    assert hub.requests == []


async def test_abandoned_pull_keeps_its_part_for_the_next(hub: LoopbackHub, cache: Path) -> None:
    size = 20 * BLOCK
    hub.add_repo(REPO, {FILE: Pattern(size)})
    hub.faults.add("slow", where="cdn", rate=20_000_000)
    access = HubAccess(hub.endpoint, False)
    async with aclosing(pull(ASKED, hub=access, cache=cache, options=QUICK)) as events:
        async for event in events:
            if isinstance(event, PullProgressed) and event.done > BLOCK:
                break
    (part,) = blobs(cache)
    kept = part.stat().st_size
    assert BLOCK < kept < size

    finished = await run_pull(hub, cache)
    assert finished.fetched == size - kept
    assert hub.downloads(FILE)[-1].start == kept
    assert_sound(cache)
    assert leftovers(cache) == []


async def test_dropped_part_leaves_nothing_behind(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: Pattern(8 * BLOCK)})
    hub.faults.add("hang_in_body", where="cdn", after=BLOCK, times=None)
    access = HubAccess(hub.endpoint, False)
    async with aclosing(pull(ASKED, hub=access, cache=cache, options=QUICK)) as events:
        async for event in events:
            if isinstance(event, PullProgressed) and event.done == BLOCK:
                break
    assert blobs(cache)
    assert await asyncio.to_thread(drop_parts, PullRequest(REPO.lower(), (FILE,)), cache)
    assert part_files(cache) == []
    assert not (cache / "models--acme--Tiny-GGUF").exists()


async def test_rate_limit_holds_for_all_files_together(hub: LoopbackHub, cache: Path) -> None:
    import time

    from spnl_tui.hub.pulls.pull import Pull, RateLimit

    hub.add_repo(REPO, {name: Pattern(BLOCK, seed=n) for n, name in enumerate(SHARDS)})
    rate = RateLimit(6 * BLOCK)
    one = Pull(
        PullRequest(REPO, SHARDS),
        hub=HubAccess(hub.endpoint, False),
        cache=cache,
        options=QUICK,
        rate=rate,
    )
    begun = time.monotonic()
    one.start()
    assert await one.wait()
    # A lower bound is no race: three blocks at six a second cannot take less than half a second.
    assert time.monotonic() - begun > 0.45


async def test_unknown_name_is_refused_with_the_nearest(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {FILE: b"GGUF"})
    for request, title, hint in (
        (PullRequest("acme/Tiny-GUF", (FILE,)), "acme/Tiny-GUF was not found", f"Did you mean {REPO}?"),
        (PullRequest(REPO, ("tiny-Q4_K_S.gguf",)), "has no file tiny-Q4_K_S.gguf", f"Did you mean {FILE}?"),
        (PullRequest(REPO, (FILE,), "v9"), "has no revision v9", "/acme/Tiny-GGUF/tree/main"),
        (PullRequest("a/b/c", (FILE,)), "a/b/c is not a repository name", ""),
    ):
        with pytest.raises(HubError) as caught:
            await run_pull(hub, cache, request)
        assert title in caught.value.title
        assert hint in caught.value.hint
    assert part_files(cache) == []


@pytest.mark.parametrize("name", ["../../evil.gguf", "/etc/evil.gguf", "a\x1b[2Jb.gguf", "..\\evil.gguf"])
async def test_file_name_that_leaves_the_cache_is_refused(hub: LoopbackHub, cache: Path, name: str) -> None:
    hub.add_repo(REPO, {name: b"GGUF"})
    with pytest.raises(PullError, match="unusable name"):
        await run_pull(hub, cache, PullRequest(REPO, (name,)))
    assert part_files(cache) == []


async def test_events_come_at_most_ten_times_a_second(hub: LoopbackHub, cache: Path) -> None:
    import time

    hub.add_repo(REPO, {FILE: Pattern(8 * BLOCK)})
    hub.faults.add("slow", where="cdn", rate=8 * BLOCK)
    begun = time.monotonic()
    events: list[PullEvent] = []
    await run_pull(hub, cache, events=events)
    assert len(events) <= 10 * (time.monotonic() - begun) + 3


def test_speed_is_smoothed_over_a_window() -> None:
    speed = Speedometer(window_s=5)
    speed.add(0.0, 0)
    assert speed.bytes_per_s is None
    for tick in range(1, 101):
        speed.add(tick / 10, tick * 1000)
    assert speed.bytes_per_s == pytest.approx(10_000)
    speed.add(10.1, 201_000)  # a burst of ten seconds' worth
    assert speed.bytes_per_s == pytest.approx(30_000, rel=0.1)
    for tick in range(102, 160):
        speed.add(tick / 10, 201_000)
    assert speed.bytes_per_s is None


def test_stall_is_described_with_its_reason() -> None:
    stalled = PullProgressed(
        stage="stalled", done=0, total=1, detail="no bytes for 6 s", retry_in_s=3.2, bytes_per_s=None
    )
    assert stalled.words == "stalled (no bytes for 6 s) – retrying in 4 s"
    assert PullProgressed(stage="pulling", done=0, total=1).words == "pulling"


def test_default_options_suit_a_user() -> None:
    options = PullOptions()
    assert options.stall_s < 10
    assert options.reserve > 0
