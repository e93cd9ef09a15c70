"""The commands of the model browser, against a hub on 127.0.0.1 and a cache of their own."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.errors import ModelFileError, ModelMissingError, ModelReferenceError
from spnl_tui.headless import models as model_commands
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.verdicts import Conditions
from spnl_tui.models.fit import Calibration
from spnl_tui.models.machine import Machine
from spnl_tui.models.reference import ModelReference
from spnl_tui.paths import Paths
from tests.support.gguf_maker import make_gguf
from tests.support.hf_cache import add_snapshot
from tests.support.hub import LoopbackHub

parse = ModelReference.parse


@pytest.fixture
async def catalog(hub: LoopbackHub) -> AsyncIterator[Catalog]:
    catalog = Catalog(HubAccess(hub.endpoint, False), timeout=5)
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
    options: dict[str, Any] = {"format": "gguf", "sort": "downloads", "limit": 5}
    assert await model_commands.search(catalog, "tiny", json_=False, **options) == 0
    assert capsys.readouterr().out == (
        "MODEL           PARAMETERS  DOWNLOADS  LIKES  UPDATED     LICENSE\n"
        "acme/Tiny-GGUF          8M      12.3k      7  2025-06-01  apache-2.0 (gated)\n"
    )
    assert await model_commands.search(catalog, "tiny", json_=True, **options) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["more"] is False
    assert data["models"][0]["repository"] == "acme/Tiny-GGUF"
    assert await model_commands.search(catalog, "\x1bno", json_=False, **options) == 1
    assert "\x1b" not in capsys.readouterr().err


CONDITIONS = Conditions(
    machine=Machine(cores=4, fast_cores=4, memory_total=16 * 10**9, memory_available=10 * 10**9),
    context=2048,
    calibration=Calibration(decode={"Q8_0": 2e-10}, prefill={"Q8_0": 1e-11}),
)


async def show(catalog: Catalog, library: Library, name: str, *, json_: bool = False) -> int:
    return await model_commands.show(
        catalog, library, parse(name), conditions=CONDITIONS, plan=lambda facts: "as stored", json_=json_
    )


@pytest.fixture
def made(hub: LoopbackHub, tmp_path: Path) -> None:
    """A model as it is on the hub: real headers, the same tensors in every file."""
    shape: dict[str, Any] = {"layers": 4, "width": 512, "feed_forward": 1024, "vocabulary": 2048}
    files = {
        f"m-{label}.gguf": make_gguf(tmp_path / f"m-{label}.gguf", matrix=type, embedding="Q6_K", **shape)
        for label, type in {"Q4_K_S": "Q4_K", "Q5_K_S": "Q5_K", "F16": "F16"}.items()
    }
    files["m-Q8_0.gguf"] = make_gguf(tmp_path / "m-Q8_0.gguf", matrix="Q8_0", embedding="Q8_0", **shape)
    hub.add_repo(
        "acme/Made-GGUF",
        {**files, "m-IQ4_XS.gguf": b"i" * 7_000_000},
        downloads=12345,
        likes=7,
        gguf={"total": 11_500_000, "architecture": "llama", "context_length": 2048},
    )


@pytest.mark.slow
@pytest.mark.usefixtures("made")
async def test_show_gives_a_verdict_for_each_from_one_header(
    hub: LoopbackHub, catalog: Catalog, library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_snapshot(tmp_path / "hub", "acme/Made-GGUF", {"m-F16.gguf": b"8"})
    assert await show(catalog, library, "acme/made-gguf") == 0
    card, rows, about = capsys.readouterr().out.split("\n\n")
    assert card.splitlines() == [
        "acme/Made-GGUF",
        "  license      apache-2.0",
        "  for          text-generation",
        "  architecture llama",
        "  parameters   11.5M",
        "  context      2,048 tokens",
        "  downloads    12,345 in the last 30 days",
        "  likes        7",
        "  updated      2025-06-01",
        "  format       gguf",
    ]
    assert [line[:50].rstrip() for line in rows.splitlines()] == [
        "   QUANTIZATION     SIZE  BITS  HERE  FIT",
        "   IQ4_XS         7.0 MB   5.3        ~unsupported",
        "   Q4_K_S         6.2 MB   4.7        ~fits",
        "   Q5_K_S         7.4 MB   5.6        ~fits",
        "   Q8_0          11.2 MB   8.5        ~fits",
        "*  F16           19.8 MB  15.1  yes   fits",
    ]
    assert len(re.findall(r" ~[\d.]+/s ", rows)) == 4
    assert "  mistral.rs cannot load IQ4_XS tensors; choose a Q4_K_M or Q8_0\n" in rows
    assert [line.partition(": ")[0] for line in about.splitlines()] == [
        "F16, with 2,048 tokens of context:",
        "  Runs",
        "  Fits",
        "  Speed",
        "  Load",
    ]
    assert "2,048 tokens of context 0.03" in about
    assert {request.path.rpartition("/")[2] for request in hub.downloads("m-")} == {"m-F16.gguf"}
    with pytest.raises(ModelReferenceError, match="No Q2_K here"):
        await show(catalog, library, "acme/Made-GGUF:Q2_K")


@pytest.mark.slow
@pytest.mark.usefixtures("made")
async def test_show_as_json(catalog: Catalog, library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    assert await show(catalog, library, "acme/made-gguf:q4_k_s", json_=True) == 0
    data = json.loads(capsys.readouterr().out)
    found = {q["label"]: q for q in data["quantizations"]}
    assert [label for label, q in found.items() if q["default"]] == ["Q4_K_S"]
    assert found["Q4_K_S"]["verdict"]["basis"] == "header"
    assert found["Q8_0"]["verdict"]["basis"] == "estimate"
    assert found["IQ4_XS"]["verdict"]["runs"]["level"] == "no"
    assert found["IQ4_XS"]["speed"] is None
    assert data["plan"] == "as stored"


async def test_show_of_a_gated_repository_uses_the_hubs_facts(
    hub: LoopbackHub, catalog: Catalog, library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"t-Q8_0.gguf": b"8" * 8000, "t-IQ2_M.gguf": b"2" * 2000}
    told = {"total": 8000, "architecture": "llama"}
    hub.add_repo("acme/Gated-GGUF", files, gated=True, gguf={**told, "chat_template": "{{ x }}"})
    hub.add_repo("acme/Gated-Base-GGUF", files, gated=True, gguf=told)
    assert await show(catalog, library, "acme/Gated-Base-GGUF") == 1
    assert "*  Q8_0          8.0 kB              base model" in capsys.readouterr().out
    assert await show(catalog, library, "acme/Gated-GGUF") == 1
    printed = capsys.readouterr()
    assert "*  Q8_0          8.0 kB              not known" in printed.out
    assert "   IQ2_M         2.0 kB              ~unsupported" in printed.out
    assert "gated: accept its conditions first" in printed.out
    assert "Error: acme/Gated-GGUF is gated" in printed.err


async def test_list_prints_every_model_and_its_size(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await model_commands.list_models(library, json_=False) == 0
    nothing = capsys.readouterr()
    assert nothing.out == ""
    assert "pull starter" in nothing.err
    add_snapshot(tmp_path / "hub", "unsloth/Qwen3-4B-GGUF", {"q-Q8_0.gguf": b"8" * 1500})
    await model_commands.list_models(library, json_=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "MODEL            SIZE  LAST USED   FROM"
    assert lines[1].startswith("qwen3:4b:Q8_0  1.5 kB  20")
    await model_commands.list_models(library, json_=True)
    [model] = json.loads(capsys.readouterr().out)["models"]
    assert (model["reference"], model["size_bytes"]) == ("unsloth/Qwen3-4B-GGUF:Q8_0", 1500)
    assert model["origin"] == "cache"


async def test_rm_deletes_the_named_models_after_a_question(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"t-Q8_0.gguf": b"8" * 8000, "t-Q4_0.gguf": b"4" * 4000, "t-Q2_K.gguf": b"2" * 2000}
    add_snapshot(tmp_path / "hub", "acme/T-GGUF", files)
    asked: list[str] = []

    def answer(yes: bool) -> Callable[[str], bool]:
        def reply(question: str) -> bool:
            asked.append(question)
            return yes

        return reply

    with pytest.raises(ModelMissingError, match="Q6_K has not been pulled"):
        await model_commands.remove(
            library,
            [parse("acme/T-GGUF:Q8_0"), parse("acme/T-GGUF:Q6_K")],
            confirm=answer(True),
            json_=False,
        )
    assert asked == []
    await model_commands.remove(library, [parse("acme/T-GGUF:q8_0")], confirm=answer(False), json_=False)
    assert asked == ["Delete acme/T-GGUF:Q8_0 (8.0 kB)?"]
    assert len((await library.listing()).entries) == 3
    await model_commands.remove(library, [parse("acme/T-GGUF:q8_0")], confirm=answer(True), json_=False)
    assert capsys.readouterr().out == "acme/T-GGUF:Q8_0: deleted, 8.0 kB freed.\n"
    await model_commands.remove(library, [parse("acme/T-GGUF")], confirm=answer(True), json_=True)
    assert asked[-1] == "Delete acme/T-GGUF:Q2_K, acme/T-GGUF:Q4_0 (6.0 kB)?"
    assert [d["freed_bytes"] for d in json.loads(capsys.readouterr().out)["deleted"]] == [2000, 4000]
    assert (await library.listing()).entries == ()


async def test_import_then_rm_then_show(
    catalog: Catalog, library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_gguf(tmp_path / "mine.Q8_0.gguf")
    assert await model_commands.import_model(library, path, json_=False) == 0
    assert capsys.readouterr().out.startswith(f"{path}  ")
    assert await show(catalog, library, str(path)) == 0
    shown = capsys.readouterr().out
    assert "  Runs: llama, with chat template.\n" in shown
    assert "  Load: as stored.\n" in shown
    await show(catalog, library, str(path), json_=True)
    assert json.loads(capsys.readouterr().out)["models"][0]["verdict"]["level"] == "yes"
    with pytest.raises(ModelFileError, match="does not exist"):
        await show(catalog, library, "/no/such.gguf")
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return True

    await model_commands.remove(
        library,
        [ModelReference(path=path)],
        confirm=confirm,
        json_=False,
    )
    assert asked == [f"Remove {path} from the list? The files stay."]
    assert path.is_file()
    assert "removed from the list" in capsys.readouterr().out
    await show(catalog, library, str(path))
    assert capsys.readouterr().out == shown.replace(
        "imported", "a folder"
    )  # what is to be shown need not be imported
    assert (await library.listing()).entries == ()


async def test_rm_forgets_an_import_that_has_gone(
    library: Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, folder = make_gguf(tmp_path / "it is mine.gguf"), tmp_path / "folder"
    folder.mkdir()
    make_gguf(folder / "a.Q8_0.gguf")
    for path in (gone, folder):
        await library.import_path(path)
    gone.unlink()
    make_gguf(folder / "b.Q4_K.gguf")
    problems = [problem for problem in (await library.listing()).problems if "rm" in problem.hint]
    commands = [shlex.split(problem.hint.partition("spnl-chat rm ")[2]) for problem in problems]
    assert commands == [[str(gone)], [str(folder)]]
    for (name,) in commands:
        assert await model_commands.remove(library, [parse(name)], confirm=lambda _: False, json_=False) == 0
    assert capsys.readouterr().out == f"{gone}: forgotten.\n{folder}: forgotten.\n"
    assert (await library.listing()).problems == ()
    assert len(list(folder.iterdir())) == 2
    with pytest.raises(ModelMissingError, match="is not in the library"):
        await model_commands.remove(library, [parse(str(gone))], confirm=lambda _: True, json_=False)
