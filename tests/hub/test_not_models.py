"""What is no chat model is named as such: before a pull, at a path and while its first bytes come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.errors import HubError, PullError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.pulls.pull import PullEvent, PullRequest
from spnl_tui.hub.verdicts import Conditions, Headers, appraise_repository
from spnl_tui.hub.wanted import find_wanted
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.files.gguf_noise import write_gguf
from spnl_tui.models.fit import load_problem
from spnl_tui.models.machine import read_machine
from spnl_tui.models.reference import ModelReference
from tests.support.commands import run_commands
from tests.support.gguf_maker import SPARSE, GgufSpec, make_gguf, metadata_of, tensors_of
from tests.support.hub import LoopbackHub
from tests.support.hub_content import Pattern
from tests.support.pulls import QUICK, part_files, run_pull

REPO = "acme/Thing-GGUF"
GGUF = b"GGUF" * 500


@pytest.fixture
async def catalog(hub: LoopbackHub) -> AsyncIterator[Catalog]:
    catalog = Catalog(HubAccess(hub.endpoint, False), timeout=20)
    yield catalog
    await catalog.close()


@pytest.fixture
def conditions() -> Conditions:
    return Conditions(machine=read_machine(()), context=2048)


REPOSITORIES: dict[str, tuple[dict[str, bytes], dict[str, Any], str]] = {
    "a LoRA adapter": ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}, {}, "LoRA adapter"),
    "an adapter beside a config": (
        {"adapter_config.json": b"{}", "config.json": b"{}", "adapter_model.safetensors": b"x"},
        {},
        "LoRA adapter",
    ),
    "only a projector": ({"mmproj-heron-f16.gguf": GGUF}, {}, "a projector"),
    "only an importance matrix": ({"heron.imatrix.gguf": GGUF}, {}, "an importance matrix"),
    "two shards of three": (
        {f"heron-Q8_0-0000{n}-of-00003.gguf": GGUF for n in (1, 3)},
        {},
        "has 2 of 3 shards; missing: 2",
    ),
    "a shard of safetensors missing": (
        {"config.json": b"{}", "model-00001-of-00002.safetensors": b"x"},
        {},
        "has 1 of 2 shards; missing: 2",
    ),
    "an embedding model": (
        {"m-Q8_0.gguf": GGUF},
        {"gguf": {"architecture": "nomic-bert"}},
        "embedding model",
    ),
    "whisper": ({"ggml-base.bin": b"x"}, {"pipeline_tag": "automatic-speech-recognition"}, "whisper.cpp"),
    "PyTorch weights": ({"pytorch_model.bin": b"x", "config.json": b"{}"}, {}, "PyTorch's format"),
    "a vision model without its projector": (
        {"Heron-VL-Q8_0.gguf": GGUF},
        {"gguf": {"architecture": "qwen3vl"}},
        "together with its projector",
    ),
}


@pytest.mark.parametrize("name", REPOSITORIES)
async def test_repository_without_a_chat_model_is_refused_with_the_reason(
    hub: LoopbackHub, catalog: Catalog, conditions: Conditions, name: str
) -> None:
    files, info, reason = REPOSITORIES[name]
    hub.add_repo(REPO, files, **info)
    details = await catalog.details(REPO)
    if not details.choices:
        assert reason in details.problem
    for reference in (ModelReference(REPO), ModelReference(REPO, "Q8_0")):
        with pytest.raises(HubError) as caught:
            await find_wanted(catalog, reference, conditions)
        assert reason in caught.value.message
    assert hub.downloads() == []


async def test_address_of_a_projector_is_refused_as_one(
    hub: LoopbackHub, catalog: Catalog, conditions: Conditions
) -> None:
    hub.add_repo(REPO, {"m-Q8_0.gguf": GGUF, "mmproj-F16.gguf": GGUF})
    reference = ModelReference.parse(f"https://huggingface.co/{REPO}/blob/main/mmproj-F16.gguf")
    with pytest.raises(HubError, match=r"mmproj-F16\.gguf is a projector"):
        await find_wanted(catalog, reference, conditions)


STRANGE_FILES: list[tuple[str, dict[str, Any], str]] = [
    ("mmproj-heron.gguf", {}, "a projector"),
    ("heron.gguf", {"general.architecture": "clip"}, "a projector"),
    ("heron.gguf", {"general.type": "adapter"}, "a LoRA adapter"),
    ("heron.gguf", {"general.type": "mmproj"}, "a projector"),
    ("heron.gguf", {"general.type": "imatrix"}, "an importance matrix"),
    ("heron.gguf", {"general.architecture": "bert"}, "an embedding model"),
    ("heron.gguf", {"general.architecture": "whisper"}, "a speech model"),
    ("heron.gguf", {"general.architecture": "LLAMA"}, "no loader for the architecture LLAMA"),
]


@pytest.mark.slow
def test_file_other_than_a_chat_model_is_identified_at_its_path(tmp_path: Path) -> None:
    commands = []
    for number, (name, metadata, _) in enumerate(STRANGE_FILES):
        (folder := tmp_path / str(number)).mkdir()
        path = str(make_gguf(folder / name, metadata=metadata))
        commands += [["show", path], ["run", "-m", path, "Hello"]]
    reasons = [reason for _, _, reason in STRANGE_FILES for _ in ("show", "run")]
    for command, reason, done in zip(commands, reasons, run_commands(*commands), strict=True):
        assert reason in done.stdout + done.stderr, command
        assert "base model" not in done.stdout + done.stderr, command


def lies(change: str) -> tuple[dict[str, Any], list[Any]]:
    spec = GgufSpec()
    metadata, tensors = metadata_of(spec), list(tensors_of(spec))
    match change:
        case "a missing tensor":
            tensors = [t for t in tensors if t.name != "blk.1.attn_k.weight"]
        case "a missing norm":
            tensors = [t for t in tensors if t.name != "blk.1.attn_norm.weight"]
        case "a missing layer":
            tensors = [t for t in tensors if not t.name.startswith("blk.1.")]
        case "more layers than there are":
            metadata["llama.block_count"] = 9000
        case "a wrong shape":
            metadata["llama.embedding_length"] = 512
        case "a wrong feed-forward width":
            metadata["llama.feed_forward_length"] = 768
        case "no merges":
            del metadata["tokenizer.ggml.merges"]
        case "no KV heads":
            metadata["llama.attention.head_count_kv"] = 0
    return metadata, tensors


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("a missing tensor", "the tensor blk.1.attn_k.weight is missing"),
        ("a missing norm", "the tensor blk.1.attn_norm.weight is missing"),
        ("a missing layer", "layer 1 of 2 is missing"),
        ("more layers than there are", "layer 2 of 9000 is missing"),
        ("a wrong shape", "has the shape 256 × 512"),
        ("a wrong feed-forward width", "blk.0.ffn_down.weight has the shape"),
        ("no merges", "its tokenizer has no merges"),
        ("no KV heads", "KV heads"),
    ],
)
def test_header_that_lies_is_found_out_from_the_header(tmp_path: Path, change: str, words: str) -> None:
    metadata, tensors = lies(change)
    path = tmp_path / "liar.gguf"
    write_gguf(path, metadata, tensors, 0)
    problem = load_problem(read_file_facts(path))
    assert problem is not None
    assert words in problem


def test_sound_headers_of_every_architecture_have_no_defect(tmp_path: Path) -> None:
    from tests.support.gguf_maker import ARCHITECTURES

    for architecture in ARCHITECTURES:
        experts = 4 if architecture in SPARSE else 0
        path = make_gguf(tmp_path / f"{architecture}.gguf", architecture=architecture, experts=experts)
        assert read_file_facts(path).defect is None, architecture


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>" + b"x" * 3_000_000, "like a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\x89PNG" + b"x" * 3_000_000, "not with GGUF"),
        (b"", "0 bytes"),
    ],
    ids=["a web page", "a pointer", "a picture", "nothing"],
)
async def test_pull_of_a_file_other_than_gguf_stops_at_its_first_bytes(
    hub: LoopbackHub, cache: Path, content: bytes, words: str
) -> None:
    hub.chunk = 1000
    hub.add_repo(REPO, {"heron-Q8_0.gguf": content})
    hub.faults.add("slow", rate=100_000, times=None)
    with pytest.raises(PullError, match="is not a GGUF file") as caught:
        await run_pull(hub, cache, PullRequest(REPO, ("heron-Q8_0.gguf",)))
    assert words in caught.value.message
    assert hub.sent() < 1_000_000
    assert part_files(cache) == []


async def test_web_page_from_the_cdn_does_not_replace_received_data(hub: LoopbackHub, cache: Path) -> None:
    hub.add_repo(REPO, {"heron-Q8_0.gguf": Pattern(3_000_000)})
    hub.faults.add("fin_in_body", where="cdn", after=1_000_000)
    page = {"status": 200, "headers": {"Content-Type": "text/html; charset=utf-8"}, "body": b"<html>"}
    hub.faults.add("status", where="cdn", **page)
    events: list[PullEvent] = []
    slow = replace(QUICK, backoff_s=0.5, backoff_max_s=0.5)
    finished = await run_pull(
        hub, cache, PullRequest(REPO, ("heron-Q8_0.gguf",)), options=slow, events=events
    )
    assert finished.fetched == 3_000_000
    assert any("a web page instead of the file" in getattr(event, "detail", "") for event in events)


async def test_401_without_a_token_means_not_found_or_private(hub: LoopbackHub, catalog: Catalog) -> None:
    hub.faults.add("status", status=401, times=None, path="/api/models")
    with pytest.raises(HubError) as caught:
        await catalog.details("acme/nothing")
    assert "not found" in caught.value.title
    assert "private" in caught.value.message
    assert "token" not in caught.value.title + caught.value.message
    refused = Catalog(HubAccess(hub.endpoint, "hf_wrong"), timeout=20)
    with pytest.raises(HubError, match="refused the token"):
        await refused.details("acme/nothing")
    await refused.close()


async def test_guess_from_a_name_is_marked_and_gives_way_to_the_header(
    hub: LoopbackHub, catalog: Catalog, conditions: Conditions, tmp_path: Path
) -> None:
    files = {
        "h-Q8_0.gguf": make_gguf(tmp_path / "8.gguf"),
        "h-IQ4_NL.gguf": make_gguf(tmp_path / "4.gguf", seed=1),  # whatever its name says
    }
    hub.add_repo(REPO, files)
    headers = Headers(catalog, await catalog.details(REPO))
    chosen, found = await appraise_repository(headers, conditions)
    assert chosen.label == "Q8_0"
    assert found["IQ4_NL"].badge.startswith("~")
    assert found["IQ4_NL"].reasons[0].startswith("Probably does not run")
    await headers.read("IQ4_NL")
    assert headers.appraise(conditions)["IQ4_NL"].runs.level == "yes"


def test_disk_full_names_the_reserve(hub: LoopbackHub) -> None:
    from spnl_tui.hub.pulls.pacing import PullOptions
    from spnl_tui.hub.pulls.transfer import DiskFullError, check_space

    options = PullOptions(reserve=10**18, make_room=lambda place, missing: "Delete what you can spare.")
    with pytest.raises(DiskFullError) as caught:
        check_space(Path("/tmp"), 52_800_000, options)
    assert "52.8 MB are still missing, 1000000.0 TB must stay free, and " in caught.value.message
    assert caught.value.hint.startswith("Delete what you can spare. Free some space,")
