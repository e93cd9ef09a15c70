"""A name or an address of one file means that file: in show, pull, list and rm, before and after the pull."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from spnl_tui.errors import ModelReferenceError
from spnl_tui.models.quantization import ModelFile, choose, quantizations_of
from spnl_tui.models.reference import ModelReference
from tests.support.commands import run_commands
from tests.support.gguf_maker import make_gguf
from tests.support.hub import LoopbackHub

REPO = "acme/Pair-GGUF"
FILES = (
    "wren-2b.Q4_K_M.gguf",
    "heron-9b.Q4_K_M.gguf",
    "heron-9b-Q8_0.gguf",
    "Q8_0/heron-9b-Q8_0.gguf",
    "my own model Q5_K_M.gguf",
    "Heron-Q4_K_M-v2.gguf",
    "odd 100%@home.gguf",
    " spaces at both ends .gguf",
    "turned \u202eFUGG.gguf",
)


@pytest.mark.parametrize("path", FILES)
def test_every_name_that_is_printed_finds_its_file(path: str) -> None:
    quantizations = quantizations_of(ModelFile(file, 10**9) for file in FILES)
    [wanted] = [q for q in quantizations if q.files[0].path == path]
    printed = str(ModelReference(REPO).with_quantization(wanted.label))
    named = ModelReference.parse(printed).quantization
    assert choose(quantizations, named=named) == wanted
    assert str(ModelReference.parse(printed)) == printed


@pytest.mark.parametrize("kind", ["blob", "resolve", "raw"])
@pytest.mark.parametrize("path", FILES)
def test_address_of_a_file_finds_that_file(path: str, kind: str) -> None:
    quantizations = quantizations_of(ModelFile(file, 10**9) for file in FILES)
    address = f"https://huggingface.co/{REPO}/{kind}/main/{quote(path)}?download=true"
    named = ModelReference.parse(address).quantization
    assert choose(quantizations, named=named).files[0].path == path


@pytest.mark.parametrize(
    ("address", "revision", "file"),
    [
        (f"hf://{REPO}/sub/m-Q8_0.gguf", None, "sub/m-Q8_0"),
        (f"https://huggingface.co/{REPO}/blob/refs%2Fpr%2F7/m.gguf", "refs/pr/7", "m"),
        (f"https://huggingface.co/{REPO}/blob/refs/pr/7/m.gguf", "refs/pr/7", "m"),
        (f"https://huggingface.co/{REPO}?show_file_info=a%2Fm-Q4_0.gguf", None, "a/m-Q4_0"),
        (f"https://huggingface.co/{REPO}/discussions/3", None, None),
        (f"https://huggingface.co/{REPO}/resolve/v2/Model.GGUF", "v2", "Model"),
    ],
)
def test_addresses_of_every_form_are_read(address: str, revision: str | None, file: str | None) -> None:
    reference = ModelReference.parse(address)
    assert (reference.repository, reference.revision, reference.quantization) == (REPO, revision, file)


@pytest.mark.parametrize(
    "address",
    [f"https://huggingface.co/{REPO}/blob/main/README.md", "https://huggingface.co/datasets/acme/words"],
)
def test_address_of_something_else_is_refused(address: str) -> None:
    with pytest.raises(ModelReferenceError):
        ModelReference.parse(address)


@pytest.mark.slow
def test_same_name_works_before_and_after_the_pull(hub: LoopbackHub, tmp_path: Path) -> None:
    made = {
        "wren-2b.Q8_0.gguf": make_gguf(tmp_path / "a.gguf", seed=1),
        "heron-9b.Q8_0.gguf": make_gguf(tmp_path / "b.gguf", seed=2),
    }
    hub.add_repo(REPO, made)
    names = [f"{REPO}:heron-9b.Q8_0", f"{REPO}:wren-2b.Q8_0"]
    shown, pulled, listed, after, table, other, removed, left = run_commands(
        ["show", "--json", names[0]],
        ["pull", names[0]],
        ["list", "--json"],
        ["show", "--json", REPO],
        ["list"],
        ["run", "-m", names[1], "Hello"],
        ["rm", "--yes", names[0]],
        ["list", "--json"],
    )
    assert [q["reference"] for q in json.loads(shown.stdout)["quantizations"]] == names
    assert Path(pulled.stdout.strip()).name == "heron-9b.Q8_0.gguf", pulled.stderr
    assert [model["reference"] for model in json.loads(listed.stdout)["models"]] == names[:1]
    here = {q["reference"]: q["cached"] for q in json.loads(after.stdout)["quantizations"]}
    assert here == {names[0]: True, names[1]: False}
    assert names[0] in table.stdout
    assert "has not been pulled" in other.stderr
    assert removed.returncode == 0, removed.stderr
    assert json.loads(left.stdout)["models"] == []


@pytest.mark.slow
def test_model_pulled_by_another_tool_keeps_the_names_of_the_hub(hub: LoopbackHub, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    hub.add_repo(REPO, {name: make_gguf(tmp_path / name) for name in ("a.Q8_0.gguf", "b.Q8_0.gguf")})
    cache = Path(os.environ["HF_HOME"]) / "hub"
    hf_hub_download(REPO, "b.Q8_0.gguf", cache_dir=cache, endpoint=hub.endpoint, token=False)
    [shown] = run_commands(["show", "--json", REPO])
    quantizations = json.loads(shown.stdout)["quantizations"]
    assert {q["label"]: q["cached"] for q in quantizations} == {"a.Q8_0": False, "b.Q8_0": True}
    names = ("b.Q8_0", "Q8_0", "b.Q8_0.gguf", "B.q8_0")
    offline = run_commands(*(["show", f"{REPO}:{name}"] for name in names), HF_HUB_OFFLINE="1")
    assert [each.returncode for each in offline] == [0] * len(names)


@pytest.mark.slow
@pytest.mark.parametrize("offline", [True, False])
def test_local_model_needs_no_hub(hub: LoopbackHub, tmp_path: Path, offline: bool) -> None:
    hub.add_repo(REPO, {"kiwi-Q8_0.gguf": make_gguf(tmp_path / "kiwi-Q8_0.gguf")})
    path = run_commands(["pull", f"{REPO}:Q8_0"])[0].stdout
    hub.close()
    names = (REPO, f"{REPO}:Q8_0")
    *results, listed, missing = run_commands(
        *([command, name] for name in names for command in ("show", "pull")),
        ["list"],
        ["show", f"{REPO}:Q2_K"],
        **({"HF_HUB_OFFLINE": "1"} if offline else {}),
    )
    for shown in results[::2]:
        assert (shown.returncode, "  Runs: llama" in shown.stdout) == (0, True), shown.stderr
    for pulled in results[1::2]:
        assert (pulled.returncode, pulled.stdout) == (0, path), pulled.stderr
        assert "the hub was not asked again" in pulled.stderr
    assert listed.stdout.count(REPO) == 1
    assert missing.returncode == 1


@pytest.mark.slow
def test_unfinished_pull_is_listed_and_can_be_removed(hub: LoopbackHub) -> None:
    hub.add_repo(REPO, {"kiwi-Q8_0.gguf": b"GGUF" * 100_000})
    hub.faults.add("fin_in_body", where="cdn", after=200_000)
    hub.faults.add("status", status=410, skip=1, path="/resolve/")
    pulled, listed, table, removed, left = run_commands(
        ["pull", f"{REPO}:Q8_0"],
        ["list", "--json"],
        ["list"],
        ["rm", "--yes", f"{REPO}:Q8_0"],
        ["list", "--json"],
    )
    assert pulled.returncode == 1
    [begun] = json.loads(listed.stdout)["unfinished"]
    assert (begun["reference"], begun["done_bytes"]) == (f"{REPO}:Q8_0", 200_000)
    assert f"spnl-chat pull {REPO}:Q8_0" in table.stderr
    assert removed.returncode == 0, removed.stderr
    assert json.loads(left.stdout) == {"models": [], "unfinished": []}
    assert list((Path(os.environ["HF_HOME"]) / "hub").glob("models--*")) == []


@pytest.mark.slow
def test_refused_gated_pull_leaves_nothing_in_the_cache(hub: LoopbackHub) -> None:
    hub.add_repo(REPO, {"kiwi-Q8_0.gguf": b"GGUF" * 100}, gated=True)
    assert "is gated" in run_commands(["pull", f"{REPO}:Q8_0"])[0].stderr
    cache = Path(os.environ["HF_HOME"]) / "hub"
    assert [path for path in cache.rglob("*") if ".locks" not in path.parts] == []


@pytest.mark.slow
def test_search_without_result_fails_with_and_without_json(hub: LoopbackHub) -> None:
    assert hub.repositories == {}
    results = run_commands(["search", "zzz"], ["search", "zzz", "--json"])
    assert [each.returncode for each in results] == [1, 1]
