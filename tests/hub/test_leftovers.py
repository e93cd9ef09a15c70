"""Interrupted pulls and leftover parts are listed and can be removed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from spnl_tui.errors import StoreError
from spnl_tui.headless.pulls import list_pulls, remove_pulls
from spnl_tui.hub.library.cache_layout import PullNote, RepositoryCache
from spnl_tui.hub.library.library import Library
from tests.support.hf_cache import add_snapshot
from tests.support.library import tree


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return a cache with an interrupted pull, leftovers, a download in progress, and a whole model."""
    cache = tmp_path / "hub"
    add_snapshot(cache, "acme/Whole-GGUF", {"w-Q8_0.gguf": b"w" * 10})
    begun = RepositoryCache(cache, "acme/Begun-GGUF")
    begun.prepare("0" * 40)
    begun.write_note(PullNote("b-Q8_0.gguf", "main", "Q8_0"))
    key = next((begun.root / ".spnl-chat").glob("*.json")).stem
    (begun.blobs / f"etag.{key}.part").write_bytes(b"b" * 1500)
    for repo, name in (("acme/Lost-GGUF", "e.12345678.part"), ("acme/Other-GGUF", "f.incomplete")):
        lost = RepositoryCache(cache, repo)
        lost.prepare("0" * 40)
        (lost.blobs / name).write_bytes(b"" if repo == "acme/Lost-GGUF" else b"o" * 2500)
        os.utime(lost.blobs / name, (0, 0))
    running = RepositoryCache(cache, "acme/Running-GGUF")
    running.prepare("0" * 40)
    (running.blobs / "g.incomplete").write_bytes(b"r")
    empty = RepositoryCache(cache, "acme/Empty-GGUF")
    empty.prepare("0" * 40)
    os.utime(empty.root, (0, 0))
    return cache


async def test_interrupted_pulls_and_leftovers_are_listed(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = Library(cache, tmp_path / "imported.json")
    await list_pulls(library, json_=True)
    listed = json.loads(capsys.readouterr().out)
    assert [(pull["name"], pull["done_bytes"]) for pull in listed["unfinished"]] == [
        ("acme/Begun-GGUF:Q8_0", 1500)
    ]
    assert [(each["name"], each["bytes"], len(each["paths"])) for each in listed["leftovers"]] == [
        ("acme/Empty-GGUF", 0, 0),
        ("acme/Lost-GGUF", 0, 1),
        ("acme/Other-GGUF", 2500, 1),
    ]
    await list_pulls(library, json_=False)
    shown = capsys.readouterr()
    assert "acme/Begun-GGUF:Q8_0    1.5 kB  interrupted" in shown.out
    assert "Resume: spnl-chat pull acme/Begun-GGUF:Q8_0" in shown.err


async def test_removed_parts_leave_no_trace_and_models_stay(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library = Library(cache, tmp_path / "imported.json")
    with pytest.raises(StoreError, match="acme/No was interrupted"):
        await remove_pulls(library, ["acme/Begun-GGUF:Q8_0", "acme/No"], every=False, confirm=lambda _: True)
    assert await remove_pulls(library, ["acme/Begun-GGUF:Q8_0"], every=False, confirm=lambda _: True) == 0
    assert await library.unfinished() == []
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return True

    await remove_pulls(library, [], every=True, confirm=confirm)
    assert asked == ["Delete the parts of acme/Empty-GGUF, acme/Lost-GGUF, acme/Other-GGUF (2.5 kB)?"]
    assert {name.split("/")[0] for name in tree(cache)} - {".locks"} == {
        "models--acme--Running-GGUF",
        "models--acme--Whole-GGUF",
    }
    assert "freed" in capsys.readouterr().out
    await remove_pulls(library, [], every=True, confirm=lambda _: True)
    assert "nothing to remove" in capsys.readouterr().err
