"""Quantizations, on the file lists of real repositories (tests/data/listings.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spnl_tui.errors import ModelReferenceError
from spnl_tui.models.quantization import (
    ModelFile,
    Quantization,
    choose,
    label_of_file,
    nominal_bits,
    normalize_label,
    quantizations_of,
)

LISTINGS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "listings.json").read_text(encoding="utf-8")
)["listings"]


def files_of(listing: dict[str, Any]) -> list[ModelFile]:
    sizes = listing.get("sizes", [None] * len(listing["files"]))
    return [ModelFile(path, size) for path, size in zip(listing["files"], sizes, strict=True)]


def named(*paths: str) -> tuple[Quantization, ...]:
    return quantizations_of(ModelFile(path, 10**9) for path in paths)


def labels(*paths: str) -> list[str]:
    return [quantization.label for quantization in named(*paths)]


def test_twenty_real_listings_each_name_their_source() -> None:
    assert len({listing["repository"] for listing in LISTINGS}) >= 20
    assert all(listing["source"].startswith("https://") for listing in LISTINGS)


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing["repository"])
def test_real_listing_is_read_completely(listing: dict[str, Any]) -> None:
    found = quantizations_of(files_of(listing))
    assert sorted(q.label for q in found) == sorted(listing["labels"])
    used = {file.path for q in found for file in q.files}
    left_out = set(listing["files"]) - used
    assert all("mmproj" in path or not path.endswith(".gguf") for path in left_out)
    assert choose(found).label == listing["default"]


def test_sharded_quantization_adds_sizes_and_sorts_files() -> None:
    [listing] = [x for x in LISTINGS if x["repository"] == "unsloth/gpt-oss-120b-GGUF"]
    [quantization] = quantizations_of(reversed(files_of(listing)))
    assert quantization.size_bytes == 62_700_000_000
    assert [file.path[-10:] for file in quantization.files] == ["00002.gguf"] * 2
    assert quantization.files[0].path.endswith("00001-of-00002.gguf")


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("m.i1-IQ4_XS.gguf", "IQ4_XS"),
        ("Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("qwen-fp16.gguf", "F16"),
        ("m-BF16.gguf", "BF16"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("gpt-oss-20b-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ("m-UD-TQ1_0.gguf", "UD-TQ1_0"),
        ("m-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("m-IQ4_NL.gguf", "IQ4_NL"),
        ("gemma-2-9b-it-Q4_K_M-fp16.gguf", "Q4_K_M-F16"),
        ("Qwen3-30B-Q3_K_S-2.70bpw.gguf", "Q3_K_S"),
        ("Q4_K_M/model-00001-of-00002.gguf", "Q4_K_M"),
        ("UD-Q2_K_XL/m-UD-Q2_K_XL-00002-of-00007.gguf", "UD-Q2_K_XL"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("tinyllama.gguf", None),
        ("BF16x-model.gguf", None),
    ],
)
def test_file_name_gives_the_label(path: str, label: str | None) -> None:
    assert label_of_file(path) == label


@pytest.mark.parametrize(
    "path",
    [
        "mmproj-F16.gguf",
        "mmproj-model-f16.gguf",
        "gemma-3-4b-it.BF16-mmproj.gguf",
        "imatrix_unsloth.gguf",
        "Kwaipilot_KAT-Coder-V2.5-Dev-imatrix.gguf",
        "MTP/mtp-gemma-4-31B-it-BF16.gguf",
        "MTP/gemma-4-31B-it-BF16.gguf",
        "mtp-Qwen3.8-27B-Q4_0.gguf",
        "ggml-vocab-llama.gguf",
        "model.Q4_K_M.gguf.part1of2",
        "llama-2-70b.Q8_0.gguf-split-a",
        "model.safetensors",
        "imatrix.dat",
    ],
)
def test_files_that_are_not_models_are_omitted(path: str) -> None:
    assert named(path) == ()


def test_incomplete_shards_are_not_a_quantization() -> None:
    assert labels("m-Q8_0-00001-of-00003.gguf", "m-Q8_0-00003-of-00003.gguf", "m-Q4_0.gguf") == ["Q4_0"]


def test_repeated_labels_are_replaced_by_file_names() -> None:
    two_models = ("gemma-2-2b-it.q4_k_m.gguf", "gemma-2-9b-it.q4_k_m.gguf", "gemma-2-9b-it.q8_0.gguf")
    assert labels(*two_models) == ["gemma-2-2b-it.q4_k_m", "gemma-2-9b-it.q4_k_m", "Q8_0"]
    assert choose(named(*two_models), named="gemma-2-9b-it.Q4_K_M").label == "gemma-2-9b-it.q4_k_m"
    with pytest.raises(ModelReferenceError) as error:
        choose(named(*two_models), named="Q4_K_M")
    assert "gemma-2-2b-it.q4_k_m, gemma-2-9b-it.q4_k_m" in error.value.hint
    assert labels("a/m-Q8_0.gguf", "b/m-Q8_0.gguf") == ["a/m-Q8_0", "b/m-Q8_0"]


ALL = named("m-Q4_K_M.gguf", "m-q8_0.gguf", "m-Q5_K_M.gguf", "m-Q6_K.gguf", "m-Q3_K_S.gguf", "m-F16.gguf")


def test_named_quantization_wins_over_the_default() -> None:
    assert choose(ALL, named="f16", cached=["Q4_K_M"], suits=lambda _: False).label == "F16"
    assert choose(ALL, named="FP16").label == "F16"
    with pytest.raises(ModelReferenceError, match="No Q2_K here"):
        choose(ALL, named="q2_k")


@pytest.mark.parametrize(
    ("cached", "refused", "label"),
    [
        ((), (), "Q4_K_M"),
        ((), ("Q4_K_M",), "Q8_0"),
        ((), ("Q4_K_M", "Q8_0"), "Q5_K_M"),
        (("Q5_K_M",), (), "Q5_K_M"),
        (("Q5_K_M", "Q8_0"), (), "Q8_0"),
        (("Q3_K_S",), (), "Q3_K_S"),
        (("Q3_K_S",), ("Q3_K_S",), "Q4_K_M"),
        ((), ("Q4_K_M", "Q8_0", "Q5_K_M"), "Q6_K"),
        ((), ("Q4_K_M", "Q8_0", "Q5_K_M", "Q6_K", "Q3_K_S"), "F16"),
        ((), tuple(q.label for q in ALL), "Q4_K_M"),
    ],
)
def test_default_quantization_suits_the_machine(
    cached: tuple[str, ...], refused: tuple[str, ...], label: str
) -> None:
    assert choose(ALL, cached=cached, suits=lambda q: q.label not in refused).label == label


def test_empty_listing_raises_an_error() -> None:
    with pytest.raises(ModelReferenceError, match="No GGUF here"):
        choose(())


@given(st.sampled_from([label for listing in LISTINGS for label in listing["labels"]]), st.booleans())
def test_real_labels_round_trip_through_file_names(label: str, lower: bool) -> None:
    written = label.lower() if lower else label
    assert normalize_label(written) == label
    assert label_of_file(f"Some-Model-7B-Instruct-{written}.gguf") == label
    assert label_of_file(f"some.model.{written}-00002-of-00003.gguf") == label
    assert label.startswith("Q4") or nominal_bits(label) is not None


@given(st.text(max_size=40))
@example(".")
@example("/")
def test_any_file_name_is_accepted(name: str) -> None:
    for quantization in named(name + ".gguf", f"{name}-00001-of-00001.gguf"):
        assert quantization.label
