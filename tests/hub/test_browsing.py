"""The commands of the model browser, against a hub on 127.0.0.1 and a cache of their own."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from spnl_tui.errors import ModelFileError, ModelReferenceError
from spnl_tui.headless import browsing
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.library import Library
from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.fit import Calibration, Verdict, assess
from spnl_tui.models.machine import read_machine
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


@pytest.fixture
def real(hub: LoopbackHub, tmp_path: Path) -> None:
    """A repository of GGUFs that are what they are called."""
    files = {}
    for label, types in {
        "Q4_K_M": {"matrix": "Q4_K", "down": "Q6_K", "embedding": "Q4_K", "output": "Q6_K"},
        "Q8_0": {"matrix": "Q8_0", "embedding": "Q8_0", "output": "Q8_0"},
    }.items():
        files[f"r-{label}.gguf"] = make_gguf(tmp_path / f"r-{label}.gguf", layers=4, width=512, **types)
    files["r-IQ2_M.gguf"] = tmp_path / "r-IQ2_M.gguf"
    files["r-IQ2_M.gguf"].write_bytes(b"GGUF" + bytes(500_000))
    gguf = {"total": 8_000_000, "architecture": "llama", "context_length": 2048}
    hub.add_repo("acme/Real-GGUF", files, downloads=12345, likes=7, gguf=gguf)


def judge(facts: ModelFacts) -> Verdict:
    """On a machine of 4 GB that was measured."""
    machine = replace(read_machine(), memory_available=4_000_000_000, memory_total=8_000_000_000)
    return assess(facts, machine, 2048, Calibration(decode={"Q8_0": 1e-9}, prefill={"Q8_0": 1e-10}))


@pytest.mark.usefixtures("real")
async def test_show(
    hub: LoopbackHub,
    catalog: Catalog,
    library: Library,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_snapshot(tmp_path / "hub", "acme/Real-GGUF", {"r-Q8_0.gguf": b"8"})
    assert await browsing.show(catalog, library, parse("acme/real-gguf"), judge, json_=False) == 0
    card, _, rows = capsys.readouterr().out.partition("\n\n")
    assert card.splitlines() == [
        "acme/Real-GGUF",
        "  license      apache-2.0",
        "  for          text-generation",
        "  architecture llama",
        "  parameters   8M",
        "  context      2,048 tokens",
        "  downloads    12,345 in the last 30 days",
        "  likes        7",
        "  updated      2025-06-01",
        "  format       gguf",
    ]
    by_label = {
        label: line for line in rows.splitlines() for label in ("IQ2_M", "Q4_K_M", "Q8_0") if label in line
    }
    assert by_label["Q8_0"].startswith("*")
    assert re.search(r" yes +yes +[0-9,.]+/s +[0-9.]+ of 4.0 GB free", by_label["Q8_0"])
    assert " yes " in by_label["Q4_K_M"]
    assert " no " in by_label["IQ2_M"]
    assert "mistral.rs cannot load IQ2_S" in by_label["IQ2_M"]
    # One header was read, and no more.
    assert {request.path for request in hub.downloads() if request.where == "cdn"} == {"r-Q8_0.gguf"}


@pytest.mark.usefixtures("real")
async def test_show_as_json(catalog: Catalog, library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    await browsing.show(catalog, library, parse("acme/real-gguf:q8_0"), judge, json_=True)
    data = json.loads(capsys.readouterr().out)
    assert [q["label"] for q in data["quantizations"] if q["default"]] == ["Q8_0"]
    assert [q["label"] for q in data["quantizations"] if q["verdict_from_header"]] == ["Q8_0"]
    assert {q["label"]: q["verdict"]["level"] for q in data["quantizations"]} == {
        "IQ2_M": "no",
        "Q4_K_M": "yes",
        "Q8_0": "yes",
    }
    with pytest.raises(ModelReferenceError, match="No Q2_K here"):
        await browsing.show(catalog, library, parse("acme/real-gguf:Q2_K"), judge, json_=False)


@pytest.mark.usefixtures("tiny")
async def test_show_of_a_gated_model_tells_what_is_known(
    catalog: Catalog, library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await browsing.show(catalog, library, parse("acme/tiny-gguf"), judge, json_=False) == 1
    shown = capsys.readouterr()
    assert "gated: accept its conditions first" in shown.out
    assert "*  Q4_K_M         4.0 MB   4.0" in shown.out
    assert "acme/Tiny-GGUF is gated" in shown.err


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
    assert await browsing.show(catalog, library, ModelReference(path=path), judge, json_=False) == 0
    shown = capsys.readouterr().out
    assert str(path) in shown
    assert "  runs         yes: llama, with chat template" in shown
    await browsing.show(catalog, library, ModelReference(path=path), judge, json_=True)
    assert json.loads(capsys.readouterr().out)["models"][0]["verdict"]["level"] == "yes"
    with pytest.raises(ModelFileError, match="does not exist"):
        await browsing.show(catalog, library, parse("/no/such.gguf"), judge, json_=False)
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
