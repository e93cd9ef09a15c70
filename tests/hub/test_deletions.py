"""Deleting models: what goes with them, what stays, how it is undone, and what makes room."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import scan_cache_dir

from spnl_tui.errors import StoreError
from spnl_tui.hub.library.library import Library
from spnl_tui.models.reference import ModelReference
from spnl_tui.paths import Paths
from tests.support.gguf_maker import make_gguf
from tests.support.hf_cache import add_snapshot, commit_of
from tests.support.library import names, tree

parse = ModelReference.parse


# ── what goes and what stays ─────────────────────────────────────────────────────────────────────


async def test_deleted_model_comes_back_by_undo(library: Library, cache: Path) -> None:
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


async def test_last_deleted_model_removes_its_repository(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8"})
    entry = await library.find(parse("acme/T-GGUF"))
    assert entry is not None
    await library.remove(entry)
    await library.close()
    assert os.listdir(cache) == []


async def test_running_pull_keeps_its_repository(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8"})
    part = snapshot.parent.parent / "blobs" / "abc.part"
    part.write_bytes(b"half of it")
    entry = await library.find(parse("acme/T-GGUF"))
    assert entry is not None
    await library.remove(entry)
    await library.close()
    assert part.read_bytes() == b"half of it"


async def test_blobs_of_another_revision_are_kept(library: Library, cache: Path) -> None:
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


async def test_superseded_snapshots_are_deleted_too(library: Library, cache: Path) -> None:
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


async def test_deleted_revision_leaves_the_others(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8" * 80}, commit=commit_of(1))
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8" * 80}, commit=commit_of(2))
    entry = await library.find(parse(f"acme/T-GGUF:Q8_0@{commit_of(1)[:10]}"))
    assert entry is not None
    done = await library.remove(entry)
    assert done.plan.frees_bytes == 0
    model = await library.resolve(parse("acme/T-GGUF:Q8_0"))
    assert model is not None
    assert model.directory.name == commit_of(2)


async def test_content_with_two_names_is_kept_for_the_other(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"same", "t-F16.gguf": b"same"})
    entry = await library.find(parse("acme/T-GGUF:F16"))
    assert entry is not None
    done = await library.remove(entry)
    assert done.plan.frees_bytes == 0
    assert await names(library) == ["acme/T-GGUF:Q8_0"]


async def test_cache_without_links_is_deleted_and_restored(library: Library, cache: Path) -> None:
    snapshot = add_snapshot(cache, "acme/T-GGUF", {})
    (snapshot / "t-Q8_0.gguf").write_bytes(b"8" * 80)
    entry = await library.find(parse("acme/T-GGUF"))
    assert entry is not None
    done = await library.remove(entry)
    assert done.plan.frees_bytes == 80
    assert await names(library) == []
    await library.undo(done)
    assert (snapshot / "t-Q8_0.gguf").read_bytes() == b"8" * 80


async def test_model_in_a_plain_folder_is_deleted_and_restored(
    cache: Path, paths: Paths, tmp_path: Path
) -> None:
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


async def test_link_in_a_plain_folder_is_deleted_without_its_target(
    cache: Path, paths: Paths, tmp_path: Path
) -> None:
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


async def test_failed_deletion_changes_nothing(
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


async def test_files_left_by_a_dead_program_are_purged(library: Library, cache: Path) -> None:
    add_snapshot(cache, "acme/T-GGUF", {"t-Q8_0.gguf": b"8", "t-Q4_0.gguf": b"4"})
    script = (
        "import asyncio, os, sys; from pathlib import Path\n"
        "from spnl_tui.hub.library.library import Library\n"
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


# ── making room ──────────────────────────────────────────────────────────────────────────────────


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


async def test_models_unused_for_longest_are_suggested(library: Library, cache: Path, tmp_path: Path) -> None:
    snapshot = add_snapshot(cache, "acme/T-GGUF", {f"t-Q{n}_0.gguf": b"%d" % n * 1000 for n in (4, 5, 8)})
    for days, label in enumerate(("Q8_0", "Q4_0", "Q5_0")):
        os.utime(snapshot / f"t-{label}.gguf", (1e9 + days, 1e9 + days))
    await library.import_path(make_gguf(tmp_path / "mine.gguf"))  # the user's own: not ours to suggest
    os.utime(tmp_path / "mine.gguf", (1, 1))
    assert library.make_room(cache, 500) == (
        "Least recently used: acme/T-GGUF:Q8_0 (1.0 kB). "
        "Delete models you do not need with `spnl-chat rm acme/T-GGUF:Q8_0`."
    )
    two = library.make_room(cache, 1500)
    assert "Q8_0 (1.0 kB), acme/T-GGUF:Q4_0 (1.0 kB)." in two
    assert two.endswith("`spnl-chat rm acme/T-GGUF:Q8_0 acme/T-GGUF:Q4_0`.")
