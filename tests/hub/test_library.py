"""What is on this machine, and how it is listed."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.errors import StoreError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.library.library import Library, mark_used
from spnl_tui.hub.library.scan import scan_cache
from spnl_tui.hub.pulls.progress import PullProgressed
from spnl_tui.hub.pulls.pull import PullRequest, pull
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.reference import ModelReference
from spnl_tui.paths import Paths
from tests.support.hf_cache import add_snapshot, commit_of
from tests.support.hub import LoopbackHub
from tests.support.library import close_folder, names, tree

parse = ModelReference.parse


# ── what is listed ───────────────────────────────────────────────────────────────────────────────


async def test_empty_machine_has_an_empty_listing(library: Library) -> None:
    assert (await library.listing()).entries == ()
    assert await library.resolve(parse("acme/Tiny-GGUF")) is None
    assert await library.resolve(parse("starter")) is None


async def test_each_quantization_is_an_entry(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(
        cache,
        "unsloth/Qwen3-1.7B-GGUF",
        {
            "Qwen3-1.7B-Q8_0.gguf": b"8" * 800,
            "Qwen3-1.7B-Q4_K_M.gguf": b"4" * 400,
            "BF16/Qwen3-1.7B-BF16-00001-of-00002.gguf": b"a" * 1000,
            "BF16/Qwen3-1.7B-BF16-00002-of-00002.gguf": b"b" * 600,
            "mmproj-F16.gguf": b"m" * 50,
            "README.md": b"hello",
        },
    )
    entries = (await library.listing()).entries
    assert [(e.name, e.label, e.size_bytes) for e in entries] == [
        ("qwen3:1.7b:BF16", "BF16", 1600),
        ("qwen3:1.7b:Q4_K_M", "Q4_K_M", 400),
        ("qwen3:1.7b:Q8_0", "Q8_0", 800),
    ]
    assert entries[0].model == LocalModel(
        "unsloth/Qwen3-1.7B-GGUF:BF16",
        "gguf",
        snapshot,
        ("BF16/Qwen3-1.7B-BF16-00001-of-00002.gguf", "BF16/Qwen3-1.7B-BF16-00002-of-00002.gguf"),
    )
    assert entries[0].commit == commit_of(0)
    assert entries[0].used is not None


async def test_partly_pulled_model_is_not_listed(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(
        cache,
        "acme/Part-GGUF",
        {
            "p-Q8_0-00001-of-00002.gguf": b"x",
            "p-Q4_0.gguf.incomplete": b"y",
            "q-Q5_0.gguf.part": b"z",
        },
    )
    blobs = snapshot.parent.parent / "blobs"
    (blobs / "abc.123.incomplete").write_bytes(b"w" * 9)
    (blobs / "abc.123.part").write_bytes(b"w" * 9)
    (snapshot / "dangling-Q4_K_M.gguf").symlink_to("../../blobs/not-there")
    add_snapshot(cache, "acme/Half", {"config.json": b"{}", "model-00001-of-00002.safetensors": b"x"})
    assert await names(library) == []
    assert await library.resolve(parse("acme/Part-GGUF")) is None


async def test_safetensors(library: Library, cache: Path) -> None:
    files = {
        "config.json": b"{}",
        "tokenizer.json": b"[]",
        "model.safetensors": b"w" * 90,
        "a/b.safetensors": b"",
    }
    snapshot = add_snapshot(cache, "acme/Plain", files)
    [entry] = (await library.listing()).entries
    assert (entry.name, entry.label, entry.format, entry.size_bytes) == (
        "acme/Plain",
        *["safetensors"] * 2,
        94,
    )
    assert await library.resolve(parse("acme/plain")) == LocalModel("acme/Plain", "safetensors", snapshot)


async def test_snapshots_of_one_model_are_one_entry(library: Library, cache: Path) -> None:
    old, new = commit_of(1), commit_of(2)
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"same", "t-Q4_0.gguf": b"before"}, commit=old)
    newest = add_snapshot(
        cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"same", "t-Q4_0.gguf": b"after!"}, commit=new
    )
    entries = (await library.listing()).entries
    assert [(e.name, e.commit) for e in entries] == [
        ("acme/T-GGUF:Q4_0", new),
        (f"acme/T-GGUF:Q4_0@{old[:12]}", old),
        ("acme/T-GGUF:Q8_0", new),
    ]
    for entry in entries:
        assert await library.find(entry.reference) == entry
        assert await library.resolve(entry.reference) == entry.model
    model = await library.resolve(parse("acme/T-GGUF:Q4_0"))
    assert model is not None
    assert model.directory == newest


async def test_the_model_cache_directory_may_be_a_cache_or_folders(
    cache: Path, paths: Paths, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    add_snapshot(models, "acme/Cached-GGUF", {"c-Q8_0.gguf": b"c"})
    (models / "acme" / "Plain-GGUF").mkdir(parents=True)
    (models / "acme" / "Plain-GGUF" / "p-Q4_K_M.gguf").write_bytes(b"p")
    (models / "loose.Q5_K_M.gguf").write_bytes(b"l")
    (models / "deep" / "er" / "still").mkdir(parents=True)
    (models / "deep" / "er" / "still" / "d-Q8_0.gguf").write_bytes(b"d")
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "x.Q4_0.gguf").write_bytes(b"x")
    library = Library(
        cache, paths.data / "i.json", model_cache_dir=models, extra_dirs=[extra, tmp_path / "none"]
    )
    assert await names(library) == sorted(
        [
            "acme/Cached-GGUF:Q8_0",
            "acme/Plain-GGUF:Q4_K_M",
            str(models / "loose.Q5_K_M.gguf"),
            str(models / "deep" / "er" / "still" / "d-Q8_0.gguf"),
            str(extra / "x.Q4_0.gguf"),
        ],
        key=str.casefold,
    )
    for name in ("acme/Cached-GGUF", "acme/plain-gguf" if sys.platform == "darwin" else "acme/Plain-GGUF"):
        assert await library.resolve(parse(name)) is not None
    await library.close()


async def test_the_starter_is_listed_wherever_it_lies(cache: Path, paths: Paths, tmp_path: Path) -> None:
    snapshot = add_snapshot(cache, "acme/Smol-GGUF", {"s-Q4_1.gguf": b"s"})
    elsewhere = tmp_path / "wheel" / "s.gguf"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"smol")
    for file in (snapshot / "s-Q4_1.gguf", elsewhere):
        model = LocalModel("starter", "gguf", file.parent, (file.name,))
        library = Library(cache, paths.data / "i.json", starter=lambda model=model: model)  # type: ignore[misc]
        entries = (await library.listing()).entries
        [starter] = [entry for entry in entries if entry.name == "starter"]
        assert starter.paths == (file,)
        assert await library.resolve(parse("starter")) == starter.model == model
        assert await library.find(parse("starter")) == starter
        assert len(entries) == (1 if file.parent == snapshot else 2)


async def test_last_use(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"t", "t-Q4_0.gguf": b"u"})
    for name in ("t-Q8_0.gguf", "t-Q4_0.gguf"):
        os.utime(snapshot / name, (1e9, 1e9))
    model = await library.resolve(parse("acme/T-GGUF:Q8_0"))
    assert model is not None
    mark_used(model)
    old, new = sorted((entry.used, entry.label) for entry in (await library.listing()).entries if entry.used)
    assert old == (datetime.fromtimestamp(1e9, UTC), "Q4_0")
    assert (datetime.now(UTC) - new[0]).total_seconds() < 100
    assert (snapshot / "t-Q8_0.gguf").stat().st_mtime == 1e9


# ── what cannot be read ──────────────────────────────────────────────────────────────────────────


async def test_unreadable_folder_is_reported_in_the_listing(
    library: Library, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"t"})
    close_folder(cache, monkeypatch)
    listing = await library.listing()
    assert listing.entries == ()
    assert [problem.title for problem in listing.problems] == ["A folder of models cannot be read"]


async def test_unreadable_repository_hides_no_other(
    library: Library, cache: Path, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = add_snapshot(cache, "acme/Closed-GGUF", {"c-Q8_0.gguf": b"c"})
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"t"})
    close_folder(closed, monkeypatch)
    listing = await library.listing()
    assert [entry.name for entry in listing.entries] == ["acme/T-GGUF:Q8_0"]
    assert [problem.message for problem in listing.problems] == [f"{closed}: Permission denied."]
    assert await library.resolve(parse("acme/T-GGUF")) is not None
    reference = parse("acme/Closed-GGUF")
    for wanted in (
        library.resolve(reference),
        library.find(reference),
        library.matching(reference),
    ):
        with pytest.raises(StoreError, match="A folder of models cannot be read"):
            await wanted
    # The same repository in a cache that can be read is enough.
    add_snapshot(tmp_path / "other", "acme/Closed-GGUF", {"c-Q4_0.gguf": b"d"})
    both = Library(cache, paths.data / "i.json", model_cache_dir=tmp_path / "other")
    assert [entry.label for entry in await both.matching(reference)] == ["Q4_0"]


async def test_unreadable_subfolder_hides_no_other_model(
    cache: Path, paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed", "open"):
        (tmp_path / "m" / "acme" / name).mkdir(parents=True)
        (tmp_path / "m" / "acme" / name / "a.Q8_0.gguf").write_bytes(b"a")
    library = Library(cache, paths.data / "i.json", extra_dirs=[tmp_path / "m"])
    close_folder(tmp_path / "m" / "acme" / "closed", monkeypatch)
    listing = await library.listing()
    assert [entry.name for entry in listing.entries] == ["acme/open:Q8_0"]
    assert len(listing.problems) == 1
    with pytest.raises(StoreError, match="closed: Permission denied"):
        await library.resolve(parse("acme/closed"))


async def test_links_that_lead_back_to_themselves_are_left_out(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"t"})
    for loop in (snapshot / "t-Q4_0.gguf", cache / "models--acme--Loop-GGUF"):
        loop.symlink_to(loop.name)
    assert await names(library) == ["acme/T-GGUF:Q8_0"]


# ── how it is read ───────────────────────────────────────────────────────────────────────────────


def test_a_scan_looks_at_names_and_sizes_only(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = ("config.json", "tokenizer.json", "README.md", ".gitattributes", "params")
    for number in range(20):
        files = {f"m-{number}-Q{bits}_K.gguf": b"%d %d" % (number, bits) for bits in range(2, 7)}
        add_snapshot(cache, f"acme/Model-{number}-GGUF", files | dict.fromkeys(others, b"{}"))
    calls: list[str] = []
    real = os.scandir

    def counted(path: Any) -> Any:
        calls.append(str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert len(scan_cache(cache)) == 100
    # Of each repository: refs, snapshots, and the snapshot. Never the blobs.
    assert len(calls) <= 1 + 20 * 5
    assert not [path for path in calls if path.endswith("blobs")]


async def test_the_loop_never_waits_for_the_disk(
    library: Library, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    real = os.scandir

    def watched(path: str) -> object:
        threads.add(threading.current_thread())
        return real(path)

    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8"})
    monkeypatch.setattr(os, "scandir", watched)
    await library.listing()
    await library.resolve(parse("acme/T-GGUF"))
    assert threads
    assert threading.main_thread() not in threads


# ── with pulls ───────────────────────────────────────────────────────────────────────────────────


async def test_pulled_model_can_be_deleted_and_pulled_again(
    hub: LoopbackHub, library: Library, cache: Path
) -> None:
    names_of_shards = ("Q8_0/t-Q8_0-00001-of-00002.gguf", "Q8_0/t-Q8_0-00002-of-00002.gguf")
    hub.add_repo("acme/T-GGUF", {name: b"GGUF" + name.encode() * 1000 for name in names_of_shards})
    request = PullRequest("acme/t-gguf", files=names_of_shards)

    async def pulled() -> None:
        async with aclosing(pull(request, hub=HubAccess(hub.endpoint), cache=cache)) as events:
            async for _ in events:
                pass

    await pulled()
    assert await names(library) == ["acme/T-GGUF:Q8_0"]
    model = await library.resolve(parse("acme/T-GGUF:Q8_0@main"))
    assert model is not None
    assert model.files == names_of_shards
    entry = await library.find(parse("acme/T-GGUF"))
    assert entry is not None
    done = await library.remove(entry)
    assert await names(library) == []
    await pulled()
    assert await names(library) == ["acme/T-GGUF:Q8_0"]
    await library.undo(done)
    assert await names(library) == ["acme/T-GGUF:Q8_0"]
    assert not any("removed" in path for path in tree(cache))


async def test_half_a_pull_is_not_a_model(hub: LoopbackHub, library: Library, cache: Path) -> None:
    hub.add_repo("acme/T-GGUF", {"t-Q8_0.gguf": b"GGUF" + bytes(3_000_000)})
    hub.faults.add("hang_in_body", where="cdn", after=1_000_000)
    request = PullRequest("acme/T-GGUF", files=("t-Q8_0.gguf",))
    async with aclosing(pull(request, hub=HubAccess(hub.endpoint), cache=cache)) as events:
        async for event in events:
            if isinstance(event, PullProgressed) and event.done >= 500_000:
                break
    assert any(path.endswith(".part") for path in tree(cache))
    assert await names(library) == []
    assert await library.resolve(parse("acme/T-GGUF")) is None
