"""Models elsewhere on this disk that the user has imported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spnl_tui.errors import ModelFileError, StoreError
from spnl_tui.hub.library.library import Library
from spnl_tui.models.reference import ModelReference
from spnl_tui.paths import Paths
from tests.support.gguf_maker import make_gguf, make_sharded_gguf
from tests.support.hf_cache import add_snapshot
from tests.support.library import names


async def test_imported_path_is_listed_until_it_is_forgotten(
    library: Library, cache: Path, paths: Paths, tmp_path: Path
) -> None:
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


async def test_file_without_a_model_is_not_imported(library: Library, paths: Paths, tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"nothing of the kind, but long enough to look")
    for path in (tmp_path / "bad.gguf", tmp_path / "missing.gguf", tmp_path):
        with pytest.raises(ModelFileError):
            await library.import_path(path)
    assert not (paths.data / "imported.json").exists()


async def test_vanished_import_is_reported(library: Library, tmp_path: Path) -> None:
    file = make_gguf(tmp_path / "mine.gguf")
    await library.import_path(file)
    file.unlink()
    listing = await library.listing()
    assert listing.entries == ()
    assert [problem.title for problem in listing.problems] == ["An imported model is missing"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "imports": []}', '{"version": 1, "imports": [1]}']
)
async def test_damaged_registry_is_reported_and_kept(
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
