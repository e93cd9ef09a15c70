from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir

from spnl_tui.errors import ModelFileError, ModelReferenceError, StoreError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.library import Library, mark_used
from spnl_tui.hub.progress import PullProgressed
from spnl_tui.hub.pull import PullRequest, pull
from spnl_tui.hub.scan import scan_cache
from spnl_tui.models.local import LocalModel
from spnl_tui.models.reference import ModelReference
from spnl_tui.paths import Paths
from tests.support.gguf_maker import make_gguf, make_sharded_gguf
from tests.support.hf_cache import add_snapshot, commit_of
from tests.support.hub import LoopbackHub

parse = ModelReference.parse


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
async def library(cache: Path, paths: Paths) -> AsyncIterator[Library]:
    library = Library(cache, paths.data / "imported.json")
    yield library
    await library.close()


async def names(library: Library) -> list[str]:
    listing = await library.listing()
    assert listing.problems == ()
    return [entry.name for entry in listing.entries]


def close_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this folder be one that cannot be read: its permissions would not stop root."""
    real = os.scandir

    def scandir(path: str | Path) -> object:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)


def tree(root: Path) -> dict[str, str]:
    """Every file and link below the root, with content or target."""
    found = {}
    for folder, _, files in os.walk(root):
        for name in files:
            path = Path(folder, name)
            inside = str(path.relative_to(root))
            found[inside] = os.readlink(path) if path.is_symlink() else path.read_bytes().decode("latin-1")
    return found


# ── what is listed ───────────────────────────────────────────────────────────────────────────────


async def test_nothing_is_here(library: Library) -> None:
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


async def test_what_is_partly_pulled_is_not_listed(library: Library, cache: Path) -> None:
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


async def test_revisions(library: Library, cache: Path) -> None:
    add_snapshot(
        cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"same"}, commit=commit_of(1), refs=("v1", "refs/pr/1")
    )
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"same"}, commit=commit_of(2))
    for revision in ("v1", "refs/pr/1", commit_of(1), commit_of(1)[:7]):
        model = await library.resolve(parse(f"acme/T-GGUF@{revision}"))
        assert model is not None, revision
        assert model.directory.name == commit_of(1)
        assert model.name == f"acme/T-GGUF:Q8_0@{revision}"
    assert await library.resolve(parse("acme/T-GGUF@v2")) is None
    assert await library.resolve(parse(f"acme/T-GGUF@{commit_of(1)[:6]}")) is None


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


async def test_a_folder_that_cannot_be_read_is_a_problem_and_no_failure(
    library: Library, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"t"})
    close_folder(cache, monkeypatch)
    listing = await library.listing()
    assert listing.entries == ()
    assert [problem.title for problem in listing.problems] == ["A folder of models cannot be read"]


async def test_a_repository_that_cannot_be_read_hides_no_other(
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
        library.cached_labels("acme/Closed-GGUF"),
    ):
        with pytest.raises(StoreError, match="A folder of models cannot be read"):
            await wanted
    # The same repository in a cache that can be read is enough.
    add_snapshot(tmp_path / "other", "acme/Closed-GGUF", {"c-Q4_0.gguf": b"d"})
    both = Library(cache, paths.data / "i.json", model_cache_dir=tmp_path / "other")
    assert [entry.label for entry in await both.matching(reference)] == ["Q4_0"]


async def test_a_folder_within_a_folder_that_cannot_be_read_hides_no_other(
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


def test_a_scan_looks_at_names_and_sizes_only(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = ("config.json", "tokenizer.json", "README.md", ".gitattributes", "params")
    for number in range(20):
        files = {f"m-{number}-Q{bits}_K.gguf": b"%d %d" % (number, bits) for bits in range(2, 7)}
        add_snapshot(cache, f"acme/Model-{number}-GGUF", files | dict.fromkeys(others, b"{}"))
    calls: list[str] = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: calls.append(str(path)) or real(path))
    assert len(scan_cache(cache)) == 100
    # Of each repository: refs, snapshots, and the snapshot. Never the blobs.
    assert len(calls) <= 1 + 20 * 5
    assert not [path for path in calls if path.endswith("blobs")]


# ── what a reference means ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("here", "asked", "label"),
    [
        (["Q8_0", "Q5_K_M", "Q4_K_M"], "", "Q4_K_M"),
        (["q8_0", "q5_k_m"], "", "Q8_0"),
        (["Q5_K_M", "Q6_K"], "", "Q5_K_M"),
        (["Q2_K", "Q6_K", "BF16"], "", "Q6_K"),
        (["Q8_0", "Q5_K_M", "Q4_K_M"], ":q5_k_m", "Q5_K_M"),
        (["Q8_0"], ":Q4_K_M", None),
    ],
)
async def test_which_is_loaded(
    library: Library, cache: Path, here: list[str], asked: str, label: str | None
) -> None:
    add_snapshot(cache, "acme/T-GGUF", {f"t-{name}.gguf": name.encode() for name in here})
    model = await library.resolve(parse(f"ACME/t-gguf{asked}"))
    assert (model and model.name) == (label and f"acme/T-GGUF:{label}")
    assert await library.cached_labels("acme/t-gguf") == {name.upper() for name in here}


async def test_two_models_in_one_repository(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-2b-Q8_0.gguf": b"2", "t-9b-Q8_0.gguf": b"9"})
    assert await names(library) == ["acme/T-GGUF:t-2b-Q8_0", "acme/T-GGUF:t-9b-Q8_0"]
    with pytest.raises(ModelReferenceError, match="2 files are Q8_0"):
        await library.resolve(parse("acme/T-GGUF:Q8_0"))
    model = await library.resolve(parse("acme/T-GGUF:t-9b-q8_0"))
    assert model is not None
    assert model.files == ("t-9b-Q8_0.gguf",)


async def test_paths(library: Library, tmp_path: Path) -> None:
    file = make_gguf(tmp_path / "one" / "a-Q8_0.gguf") if (tmp_path / "one").mkdir() is None else None
    assert file is not None
    assert await library.resolve(ModelReference(path=file)) == LocalModel(
        str(file), "gguf", file.parent, (file.name,)
    )
    folder = tmp_path / "two"
    folder.mkdir()
    for label in ("Q8_0", "Q4_K_M", "Q2_K"):
        make_gguf(folder / f"a-{label}.gguf")
    chosen = await library.resolve(ModelReference(path=folder))
    named = await library.resolve(ModelReference(path=folder, quantization="Q2_K"))
    assert chosen is not None
    assert named is not None
    assert (chosen.files, chosen.name) == (("a-Q4_K_M.gguf",), f"{folder}:Q4_K_M")
    assert named.files == ("a-Q2_K.gguf",)
    with pytest.raises(ModelFileError, match="No Q6_K here"):
        await library.resolve(ModelReference(path=folder, quantization="Q6_K"))
    make_gguf(folder / "b-Q8_0.gguf")
    with pytest.raises(ModelFileError, match="Several models here"):
        await library.resolve(ModelReference(path=folder))
    with pytest.raises(ModelFileError, match="does not exist"):
        await library.resolve(ModelReference(path=tmp_path / "none.gguf"))


async def test_paths_that_cannot_be_read(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_long = tmp_path / f"{'a' * 300}.gguf"
    linked, closed = tmp_path / "linked", tmp_path / "closed"
    for folder in (linked, closed):
        folder.mkdir()
    (linked / "a-Q8_0.gguf").symlink_to(too_long)
    close_folder(closed, monkeypatch)
    for path in (too_long, linked, closed):
        reference = ModelReference(path=path)
        for wanted in (library.resolve(reference), library.at_path(reference)):
            with pytest.raises(ModelFileError, match=r"^The model cannot be read"):
                await wanted
    with pytest.raises(ModelFileError, match="File name too long"):
        await library.import_path(too_long)
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for nowhere in (tmp_path / "file" / "x.gguf", tmp_path / "loop", tmp_path / "loop" / "x.gguf"):
        with pytest.raises(ModelFileError, match="does not exist"):
            await library.resolve(ModelReference(path=nowhere))


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


# ── imports ──────────────────────────────────────────────────────────────────────────────────────


async def test_import_and_forget(library: Library, cache: Path, paths: Paths, tmp_path: Path) -> None:
    single = make_gguf(tmp_path / "mine.Q8_0.gguf")
    (tmp_path / "big").mkdir()
    shards = make_sharded_gguf(tmp_path / "big", "big-Q4_0", 2)
    await library.import_path(single)
    entry = await library.import_path(shards[0])
    await library.import_path(single)
    assert (entry.origin, entry.size_bytes) == ("imported", sum(shard.stat().st_size for shard in shards))
    assert await names(library) == sorted([str(shards[0]), str(single)], key=str.casefold)
    another = Library(cache, paths.data / "imported.json")
    assert await names(another) == await names(library)
    found = await library.find(ModelReference(path=single))
    assert found is not None
    plan = await library.plan_removal(found)
    assert plan.frees_bytes == 0
    done = await library.remove(found)
    assert single.exists()
    assert await names(library) == [str(shards[0])]
    await library.undo(done)
    assert len(await names(library)) == 2
    assert json.loads((paths.data / "imported.json").read_text())["version"] == 1
    assert [path.name for path in paths.data.iterdir()] == ["imported.json"]


async def test_what_is_no_model_is_not_imported(library: Library, paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"nothing of the kind, but long enough to look")
    for path in (tmp_path / "bad.gguf", tmp_path / "missing.gguf", tmp_path):
        with pytest.raises(ModelFileError):
            await library.import_path(path)
    assert not (paths.data / "imported.json").exists()


async def test_an_import_that_has_gone_is_a_problem(library: Library, tmp_path: Path) -> None:
    file = make_gguf(tmp_path / "mine.gguf")
    await library.import_path(file)
    file.unlink()
    listing = await library.listing()
    assert listing.entries == ()
    assert [problem.title for problem in listing.problems] == ["An imported model has gone"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "imports": []}', '{"version": 1, "imports": [1]}']
)
async def test_a_damaged_registry_is_told_and_not_overwritten(
    library: Library, cache: Path, paths: Paths, tmp_path: Path, text: str
) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"t"})
    paths.data.mkdir(parents=True)
    registry = paths.data / "imported.json"
    registry.write_text(text)
    listing = await library.listing()
    assert [entry.label for entry in listing.entries] == ["Q8_0"]
    assert [problem.title for problem in listing.problems] == ["The list of imported models cannot be read"]
    with pytest.raises(StoreError):
        await library.import_path(make_gguf(tmp_path / "mine.gguf"))
    assert registry.read_text() == text


# ── last use ─────────────────────────────────────────────────────────────────────────────────────


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


# ── deleting ─────────────────────────────────────────────────────────────────────────────────────


async def test_delete_and_undo(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(
        cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8" * 80, "Q4_0/t-Q4_0.gguf": b"4" * 40, "README.md": b"r"}
    )
    before = tree(cache)
    entry = await library.find(parse("acme/T-GGUF:Q4_0"))
    assert entry is not None
    plan = await library.plan_removal(entry)
    assert (plan.frees_bytes, plan.kept_for) == (40, ())
    assert tree(cache) == before
    done = await library.remove(entry)
    assert await names(library) == ["acme/T-GGUF:Q8_0"]
    assert library.removals == (done,)
    assert not scan_cache_dir(cache).warnings
    await library.undo(done)
    assert tree(cache) == before
    assert library.removals == ()
    with pytest.raises(StoreError, match="Nothing to undo"):
        await library.undo(done)
    done = await library.remove(entry)
    await library.close()
    after = tree(cache)
    assert not any("removed" in path for path in after)
    assert "4" * 40 not in after.values()
    assert not (snapshot / "Q4_0").exists()
    assert "8" * 80 in after.values()
    with pytest.raises(StoreError):
        await library.undo(done)


async def test_the_last_model_of_a_repository_takes_the_repository_along(
    library: Library, cache: Path
) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8"})
    entry = await library.find(parse("acme/T-GGUF"))
    assert entry is not None
    await library.remove(entry)
    await library.close()
    assert os.listdir(cache) == []


async def test_a_pull_under_way_keeps_its_repository(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8"})
    part = snapshot.parent.parent / "blobs" / "abc.part"
    part.write_bytes(b"half of it")
    entry = await library.find(parse("acme/T-GGUF"))
    assert entry is not None
    await library.remove(entry)
    await library.close()
    assert part.read_bytes() == b"half of it"


async def test_blobs_that_another_revision_has_stay(library: Library, cache: Path) -> None:
    files = {"t-Q8_0.gguf": b"8" * 80, "t-Q4_0.gguf": b"4" * 40}
    add_snapshot(cache, "acme/T-GGUF", files, commit=commit_of(1), refs=("v1",))
    add_snapshot(cache, "acme/T-GGUF", files, commit=commit_of(2))
    entry = await library.find(parse("acme/T-GGUF:Q8_0"))
    assert entry is not None
    plan = await library.plan_removal(entry)
    assert (plan.frees_bytes, plan.kept_for) == (0, (commit_of(1)[:12],))
    await library.remove(entry)
    assert await library.resolve(parse("acme/T-GGUF:Q8_0@main")) is None
    assert await library.resolve(parse("acme/T-GGUF:Q8_0@v1")) is not None
    await library.close()
    assert await library.resolve(parse("acme/T-GGUF:Q8_0@v1")) is not None


async def test_superseded_snapshots_go_along(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8" * 80}, commit=commit_of(1))
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8" * 80}, commit=commit_of(2))
    before = tree(cache)
    entry = await library.find(parse("acme/T-GGUF:Q8_0"))
    assert entry is not None
    done = await library.remove(entry)
    assert done.plan.frees_bytes == 80
    assert await names(library) == []
    await library.undo(done)
    assert tree(cache) == before


async def test_deleting_a_revision_leaves_the_others(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8" * 80}, commit=commit_of(1))
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8" * 80}, commit=commit_of(2))
    entry = await library.find(parse(f"acme/T-GGUF:Q8_0@{commit_of(1)[:10]}"))
    assert entry is not None
    done = await library.remove(entry)
    assert done.plan.frees_bytes == 0
    model = await library.resolve(parse("acme/T-GGUF:Q8_0"))
    assert model is not None
    assert model.directory.name == commit_of(2)


async def test_one_content_under_two_names_stays_for_the_other(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"same", "t-F16.gguf": b"same"})
    entry = await library.find(parse("acme/T-GGUF:F16"))
    assert entry is not None
    done = await library.remove(entry)
    assert done.plan.frees_bytes == 0
    assert await names(library) == ["acme/T-GGUF:Q8_0"]


async def test_a_cache_without_links(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(cache, "acme/T-GGUF", {})
    (snapshot / "t-Q8_0.gguf").write_bytes(b"8" * 80)
    entry = await library.find(parse("acme/T-GGUF"))
    assert entry is not None
    done = await library.remove(entry)
    assert done.plan.frees_bytes == 80
    assert await names(library) == []
    await library.undo(done)
    assert (snapshot / "t-Q8_0.gguf").read_bytes() == b"8" * 80


async def test_a_plain_folder(cache: Path, paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.Q8_0.gguf").write_bytes(b"a" * 10)
    library = Library(cache, paths.data / "i.json", extra_dirs=[tmp_path / "m"])
    [entry] = (await library.listing()).entries
    done = await library.remove(entry)
    assert await names(library) == []
    await library.undo(done)
    assert len(await names(library)) == 1
    await library.remove(entry)
    await library.close()
    assert list((tmp_path / "m").iterdir()) == []


async def test_a_link_in_a_plain_folder_goes_by_itself(cache: Path, paths: Paths, tmp_path: Path) -> None:
    models, store = tmp_path / "models", tmp_path / "store"
    models.mkdir()
    store.mkdir()
    (store / "x.gguf").write_bytes(b"x" * 80)
    (models / "x-Q4_K_M-00001-of-00002.gguf").symlink_to("../store/x.gguf")
    (models / "x-Q4_K_M-00002-of-00002.gguf").write_bytes(b"y" * 40)
    before = tree(tmp_path)
    library = Library(cache, paths.data / "i.json", extra_dirs=[models])
    [entry] = (await library.listing()).entries
    done = await library.remove(entry)
    assert done.plan.frees_bytes == 40
    assert await names(library) == []
    await library.undo(done)
    assert tree(tmp_path) == before
    await library.remove(entry)
    await library.close()
    assert tree(tmp_path) == {"store/x.gguf": "x" * 80}


async def test_room_is_made_only_when_it_is_needed(
    library: Library, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_snapshot(cache, "acme/T-GGUF", {f"t-Q{n}_0.gguf": b"%d" % n * 100 for n in (4, 5, 8)})
    done = []
    for label in ("Q4_0", "Q5_0", "Q8_0"):
        entry = await library.find(parse(f"acme/T-GGUF:{label}"))
        assert entry is not None
        done.append(await library.remove(entry))

    class Usage:
        @property
        def free(self) -> int:
            return 1000 - sum(100 for removal in done if removal.aside.exists())

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage())
    assert library.make_room(cache, 0) == ""
    assert library.removals == tuple(done)
    assert library.make_room(cache, 150) == ""
    assert library.removals == (done[2],)
    with pytest.raises(StoreError):
        await library.undo(done[0])
    await library.undo(done[2])
    assert "acme/T-GGUF:Q8_0 (100 B)" in library.make_room(cache, 5000)


async def test_what_could_go_is_what_was_not_used_for_longest(
    library: Library, cache: Path, tmp_path: Path
) -> None:
    snapshot = add_snapshot(cache, "acme/T-GGUF", {f"t-Q{n}_0.gguf": b"%d" % n * 1000 for n in (4, 5, 8)})
    for days, label in enumerate(("Q8_0", "Q4_0", "Q5_0")):
        os.utime(snapshot / f"t-{label}.gguf", (1e9 + days, 1e9 + days))
    await library.import_path(make_gguf(tmp_path / "mine.gguf"))  # the user's own: not ours to suggest
    os.utime(tmp_path / "mine.gguf", (1, 1))
    assert library.make_room(cache, 500) == (
        "Not used for longest: acme/T-GGUF:Q8_0 (1.0 kB). Delete what can go: spnl-chat rm acme/T-GGUF:Q8_0"
    )
    two = library.make_room(cache, 1500)
    assert "Q8_0 (1.0 kB), acme/T-GGUF:Q4_0 (1.0 kB)." in two
    assert two.endswith("spnl-chat rm acme/T-GGUF:Q8_0 acme/T-GGUF:Q4_0")


async def test_what_a_dead_program_left_is_swept_up(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8", "t-Q4_0.gguf": b"4"})
    script = (
        "import asyncio, os, sys; from pathlib import Path; from spnl_tui.hub.library import Library\n"
        "from spnl_tui.models.reference import ModelReference\n"
        "async def main():\n"
        "    library = Library(Path(sys.argv[1]), Path(sys.argv[1]) / 'i.json')\n"
        "    entry = await library.find(ModelReference.parse('acme/T-GGUF:Q4_0'))\n"
        "    await library.remove(entry)\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, str(cache)], check=True)
    assert any("removed" in path for path in tree(cache))
    assert await names(library) == ["acme/T-GGUF:Q8_0"]
    entry = await library.find(parse("acme/T-GGUF:Q8_0"))
    assert entry is not None
    await library.remove(entry)
    another = Library(cache, cache / "i.json")
    await another.close()
    left = [path for path in tree(cache) if "removed" in path]
    assert all(f"-{os.getpid()}-" in path for path in left)
    assert left


async def test_a_failed_deletion_changes_nothing(
    library: Library, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("t-Q8_0-00001-of-00002.gguf", "t-Q8_0-00002-of-00002.gguf")
    add_snapshot(cache, "acme/T-GGUF", {name: name.encode() for name in names})
    before = tree(cache)
    entry = await library.find(parse("acme/T-GGUF"))
    assert entry is not None
    real, calls = os.rename, []

    def failing(source: str, target: str) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise PermissionError(13, "Permission denied", source)
        real(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(StoreError, match="cannot be deleted"):
        await library.remove(entry)
    assert tree(cache) == before
    assert library.removals == ()


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


async def test_what_is_pulled_is_here_and_what_is_deleted_can_be_pulled_again(
    hub: LoopbackHub, library: Library, cache: Path
) -> None:
    names_of_shards = ("Q8_0/t-Q8_0-00001-of-00002.gguf", "Q8_0/t-Q8_0-00002-of-00002.gguf")
    hub.add_repo("acme/T-GGUF", {name: name.encode() * 1000 for name in names_of_shards})
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


async def test_half_a_pull_is_no_model(hub: LoopbackHub, library: Library, cache: Path) -> None:
    hub.add_repo("acme/T-GGUF", {"t-Q8_0.gguf": bytes(3_000_000)})
    hub.faults.add("hang_in_body", where="cdn", after=1_000_000)
    request = PullRequest("acme/T-GGUF", files=("t-Q8_0.gguf",))
    async with aclosing(pull(request, hub=HubAccess(hub.endpoint), cache=cache)) as events:
        async for event in events:
            if isinstance(event, PullProgressed) and event.done >= 500_000:
                break
    assert any(path.endswith(".part") for path in tree(cache))
    assert await names(library) == []
    assert await library.resolve(parse("acme/T-GGUF")) is None
