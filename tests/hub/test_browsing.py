"""The commands of the model browser, against a hub on 127.0.0.1 and a cache of their own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spnl_tui.errors import ModelReferenceError
from spnl_tui.headless import browsing
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.library import Library
from spnl_tui.models.reference import ModelReference
from spnl_tui.paths import Paths
from tests.support.gguf_maker import make_gguf
from tests.support.hf_cache import add_snapshot
from tests.support.hub import LoopbackHub

parse = ModelReference.parse


@pytest.fixture
async def catalog(hub: LoopbackHub) -> AsyncIterator[Catalog]:
    catalog = Catalog(hub.endpoint, token=lambda: None, timeout=5)
    yield catalog
    await catalog.close()


@pytest.fixture
async def library(tmp_path: Path, paths: Paths) -> AsyncIterator[Library]:
    library = Library(tmp_path / "hub", paths.data / "imported.json")
    yield library
    await library.close()


@pytest.fixture
def tiny(hub: LoopbackHub) -> None:
    hub.add_repo(
        "acme/Tiny-GGUF",
        {"t-Q4_K_M.gguf": b"4" * 4_000_000, "t-Q8_0.gguf": b"8" * 8_000_000, "t-F16.gguf": b"f" * 16_000_000},
        downloads=12345,
        likes=7,
        gated=True,
        gguf={"total": 8_000_000, "architecture": "llama", "context_length": 8192},
    )


@pytest.mark.usefixtures("tiny")
async def test_search(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"format": "gguf", "sort": "downloads", "limit": 5}
    assert await browsing.search(catalog, "tiny", json_=False, **options) == 0  # type: ignore[arg-type]
    assert capsys.readouterr().out == (
        "MODEL           PARAMETERS  DOWNLOADS  LIKES  UPDATED     LICENSE\n"
        "acme/Tiny-GGUF          8M      12.3k      7  2025-06-01  apache-2.0 (gated)\n"
    )
    assert await browsing.search(catalog, "tiny", json_=True, **options) == 0  # type: ignore[arg-type]
    data = json.loads(capsys.readouterr().out)
    assert data["more"] is False
    assert data["models"][0]["repository"] == "acme/Tiny-GGUF"
    assert await browsing.search(catalog, "\x1bno", json_=False, **options) == 1  # type: ignore[arg-type]
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.usefixtures("tiny")
async def test_show(
    catalog: Catalog, library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_snapshot(tmp_path / "hub", "acme/Tiny-GGUF", {"t-Q8_0.gguf": b"8"})
    verdicts = {"Q8_0": ("fits", "~40 tokens/s")}
    assert await browsing.show(catalog, library, parse("acme/tiny-gguf"), json_=False, verdicts=verdicts) == 0
    assert capsys.readouterr().out == (
        "acme/Tiny-GGUF\n"
        "  license      apache-2.0, gated: accept its conditions first\n"
        "  for          text-generation\n"
        "  architecture llama\n"
        "  parameters   8M\n"
        "  context      8,192 tokens\n"
        "  downloads    12,345 in the last 30 days\n"
        "  likes        7\n"
        "  updated      2025-06-01\n"
        "  format       gguf\n"
        "\n"
        "   QUANTIZATION     SIZE  BITS  HERE  FIT   SPEED\n"
        "   Q4_K_M         4.0 MB   4.0\n"
        "*  Q8_0           8.0 MB   8.0  yes   fits  ~40 tokens/s\n"
        "   F16           16.0 MB  16.0\n"
    )
    await browsing.show(catalog, library, parse("acme/tiny-gguf:F16"), json_=True, verdicts=verdicts)
    data = json.loads(capsys.readouterr().out)
    assert [q["label"] for q in data["quantizations"] if q["default"]] == ["F16"]
    assert [q["label"] for q in data["quantizations"] if q["cached"]] == ["Q8_0"]
    assert data["quantizations"][1]["fit"] == "fits"
    with pytest.raises(ModelReferenceError, match="No Q2_K here"):
        await browsing.show(catalog, library, parse("acme/tiny-gguf:Q2_K"), json_=False)


async def test_list(library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await browsing.list_models(library, json_=False) == 0
    nothing = capsys.readouterr()
    assert nothing.out == ""
    assert "pull starter" in nothing.err
    add_snapshot(tmp_path / "hub", "unsloth/Qwen3-4B-GGUF", {"q-Q8_0.gguf": b"8" * 1500})
    await browsing.list_models(library, json_=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "MODEL            SIZE  LAST USED"
    assert lines[1].startswith("qwen3:4b:Q8_0  1.5 kB  20")
    await browsing.list_models(library, json_=True)
    [model] = json.loads(capsys.readouterr().out)["models"]
    assert (model["reference"], model["size_bytes"]) == ("unsloth/Qwen3-4B-GGUF:Q8_0", 1500)


async def test_rm(library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"t-Q8_0.gguf": b"8" * 8000, "t-Q4_0.gguf": b"4" * 4000, "t-Q2_K.gguf": b"2" * 2000}
    add_snapshot(tmp_path / "hub", "acme/T-GGUF", files)
    asked: list[str] = []

    def answer(yes: bool) -> object:
        return lambda question: asked.append(question) or yes

    with pytest.raises(ModelReferenceError, match="is not here"):
        await browsing.remove(
            library,
            [parse("acme/T-GGUF:Q8_0"), parse("acme/T-GGUF:Q6_K")],
            confirm=answer(True),  # type: ignore[arg-type]
            json_=False,
        )
    assert asked == []
    await browsing.remove(library, [parse("acme/T-GGUF:q8_0")], confirm=answer(False), json_=False)  # type: ignore[arg-type]
    assert asked == ["Delete acme/T-GGUF:Q8_0 (8.0 kB)?"]
    assert len((await library.listing()).entries) == 3
    await browsing.remove(library, [parse("acme/T-GGUF:q8_0")], confirm=answer(True), json_=False)  # type: ignore[arg-type]
    assert capsys.readouterr().out == "acme/T-GGUF:Q8_0: deleted, 8.0 kB freed.\n"
    await browsing.remove(library, [parse("acme/T-GGUF")], confirm=answer(True), json_=True)  # type: ignore[arg-type]
    assert asked[-1] == "Delete acme/T-GGUF:Q2_K, acme/T-GGUF:Q4_0 (6.0 kB)?"
    assert [d["freed_bytes"] for d in json.loads(capsys.readouterr().out)["deleted"]] == [2000, 4000]
    assert (await library.listing()).entries == ()


async def test_import_then_rm_then_show(
    catalog: Catalog, library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_gguf(tmp_path / "mine.Q8_0.gguf")
    assert await browsing.import_model(library, path, json_=False) == 0
    assert capsys.readouterr().out.startswith(f"{path}  ")
    assert await browsing.show(catalog, library, ModelReference(path=path), json_=False) == 0
    assert str(path) in capsys.readouterr().out
    asked: list[str] = []
    await browsing.remove(
        library,
        [ModelReference(path=path)],
        confirm=lambda question: not asked.append(question),
        json_=False,
    )
    assert asked == [f"Forget {path}? The files stay where they are."]
    assert path.is_file()
    assert "forgotten" in capsys.readouterr().out
