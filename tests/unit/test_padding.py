"""Rows are padded where that helps and can be done, and the file that is written is what was foretold."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, quants

from spnl_tui.engine.mistralrs.failures import load_failure
from spnl_tui.engine.mistralrs.load_plan import plan_load
from spnl_tui.engine.mistralrs.runner.padded_gguf import write_padded
from spnl_tui.engine.mistralrs.runner.pipeline import padded_copies
from spnl_tui.errors import ModelFileError
from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.files.gguf_noise import write_gguf
from spnl_tui.models.in_situ import choose_form
from spnl_tui.models.machine import Machine
from spnl_tui.models.memory import estimate_memory
from spnl_tui.models.padding import find_padding, padded_facts
from tests.support.gguf_maker import GgufSpec, make_gguf, make_sharded_gguf, metadata_of, tensors_of
from tests.support.shapes import GEMMA, NARROW, QWEN

LAPTOP = Machine(
    cores=2, fast_cores=2, memory_total=24 * 10**9, memory_available=20 * 10**9, vnni=True, avx2=True
)


@pytest.fixture
def facts(tmp_path: Path) -> Any:
    def make(**changes: Any) -> ModelFacts:
        return read_file_facts(make_gguf(tmp_path / "m.gguf", **changes))

    return make


def padded_copy(path: Path, *files: Path) -> Path:
    with path.open("wb") as target:
        write_padded(files, [target])
    return path


def weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {t.name: quants.dequantize(t.data, t.tensor_type) for t in GGUFReader(path).tensors}


def test_starter_pads_rows_but_not_heads(starter_gguf: Path) -> None:
    padding = find_padding(read_file_facts(starter_gguf))
    assert padding is not None
    assert (padding.width.sizes, padding.feed_forward.sizes) == ((576, 768), (1536, 1536))
    # A third more heads would make attention by a third slower.
    assert (padding.queries.sizes, padding.heads) == ((576, 576), 9)


def test_padding_corrects_the_mean_of_the_squares(tmp_path: Path) -> None:
    """Of 1,024 elements 960 are not padding: of the same sum the mean is by so much smaller."""
    path = padded_copy(tmp_path / "padded.gguf", make_gguf(tmp_path / "m.gguf", **NARROW))
    assert read_file_facts(path).norm_epsilon == pytest.approx(1e-5 * 960 / 1024)
    path = padded_copy(tmp_path / "padded.gguf", make_gguf(tmp_path / "m.gguf", **GEMMA))
    assert read_file_facts(path).norm_epsilon == pytest.approx(1e-5 * 1152 / 1280)


@pytest.mark.parametrize(
    "shape", [NARROW, QWEN, {**QWEN, "output": None}, GEMMA], ids=["llama", "qwen2", "tied", "gemma3"]
)
@pytest.mark.parametrize("matrix", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16", "F32"])
def test_padded_file_has_the_predicted_facts(shape: dict[str, Any], matrix: str, tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "m.gguf", matrix=matrix, **shape)
    facts = read_file_facts(path)
    padding = find_padding(facts)
    assert padding is not None
    foretold = padded_facts(facts, padding)
    written = read_file_facts(padded_copy(tmp_path / "padded.gguf", path))
    assert _by_role(written) == _by_role(foretold)
    matrices = [group for group in (*written.tensors, *foretold.tensors) if group.role != "vector"]
    behind_attention = padding.queries.sizes[1]
    assert all(group.row % 256 == 0 or group.row == behind_attention for group in matrices)
    same = ("heads", "kv_heads", "key_width", "value_width", "embedding_width", "feed_forward_width")
    assert [getattr(written, name) for name in same] == [getattr(foretold, name) for name in same]
    assert written.norm_epsilon == pytest.approx(foretold.norm_epsilon)
    assert written.chat_template == facts.chat_template
    assert written.vocabulary == facts.vocabulary


def _by_role(facts: ModelFacts) -> dict[str, tuple[int, int]]:
    """Elements and bytes: not by length, since rows of one length before may be of two after."""
    roles: dict[str, tuple[int, int]] = {}
    for group in facts.tensors:
        if group.role != "vector":  # of which nothing is foretold
            elements, stored = roles.get(group.role, (0, 0))
            roles[group.role] = (elements + group.elements, stored + group.bytes)
    return roles


@pytest.mark.slow
@pytest.mark.parametrize("matrix", ["Q4_1", "Q8_0", "F16"])
@pytest.mark.parametrize("shape", [NARROW, QWEN, GEMMA], ids=["llama", "qwen2", "gemma3"])
def test_padding_keeps_weights_and_adds_zeros(shape: dict[str, Any], matrix: str, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    spec = GgufSpec(matrix=matrix, layers=1, **shape)
    # Norms and biases of noise as well: of ones and zeros any order is right.
    write_gguf(path, metadata_of(spec), [replace(tensor, fill=None) for tensor in tensors_of(spec)])
    before, after = weights(path), weights(padded_copy(tmp_path / "padded.gguf", path))
    assert before.keys() == after.keys()
    kv_heads = shape["kv_heads"]
    for name, old in before.items():
        new = after[name]
        if name.endswith("norm.weight"):
            scale = 1.0 if "post_" in name else (old.size / new.size) ** 0.5
            assert new[: old.size] == pytest.approx(old * scale)
        elif "attn_q." in name:
            # Heads are added behind those of each group.
            grouped = new.reshape(kv_heads, -1, *new.shape[1:])
            group = old.shape[0] // kv_heads
            kept = grouped[:, :group, : old.shape[1]] if old.ndim == 2 else grouped[:, :group]
            assert (kept.reshape(old.shape) == old).all()
        elif "attn_output" in name:
            grouped = new.reshape(new.shape[0], kv_heads, -1)
            assert (grouped[: old.shape[0], :, : old.shape[1] // kv_heads].reshape(old.shape) == old).all()
        else:
            assert (new[tuple(slice(size) for size in old.shape)] == old).all()
        assert np.count_nonzero(new) == np.count_nonzero(old)
        assert new.shape[-1] % 256 == 0 or old.ndim == 1 or (shape is NARROW and "attn_output" in name)


def test_shards_are_padded_one_by_one(tmp_path: Path) -> None:
    whole = padded_copy(tmp_path / "whole.gguf", make_gguf(tmp_path / "m.gguf", **NARROW))
    shards = make_sharded_gguf(tmp_path, "s", 3, **NARROW)
    copies = [io.BytesIO() for _ in shards]
    write_padded(shards, copies)
    for shard, copy in zip(shards, copies, strict=True):
        shard.write_bytes(copy.getvalue())
    assert read_file_facts(*shards).tensors == read_file_facts(whole).tensors


def test_data_of_every_tensor_are_aligned(tmp_path: Path) -> None:
    """Of the last one, too: mistral.rs refuses a file that ends before. 513 rows of 816 bytes are odd."""
    spec = GgufSpec(width=576, feed_forward=1536, heads=9, kv_heads=3, vocabulary=513)
    embedding, *others = tensors_of(spec)
    write_gguf(tmp_path / "m.gguf", metadata_of(spec), [*others, embedding])
    path = padded_copy(tmp_path / "padded.gguf", tmp_path / "m.gguf")
    last = GGUFReader(path).tensors[-1]
    assert last.name == "token_embd.weight"
    assert last.n_bytes % 32
    assert path.stat().st_size % 32 == 0


def test_optional_metadata_are_added(tmp_path: Path) -> None:
    """Without them mistral.rs would make them of those that have changed."""
    keys = ("key_length", "value_length", "head_count_kv")
    left_out = {f"llama.attention.{key}": None for key in keys}
    shape: dict[str, Any] = {"width": 960, "feed_forward": 1280, "heads": 15, "kv_heads": 15}
    path = make_gguf(tmp_path / "m.gguf", metadata=left_out, **shape)
    padded_copy(tmp_path / "padded.gguf", path)
    fields = GGUFReader(tmp_path / "padded.gguf").fields
    assert [fields[f"llama.attention.{key}"].contents() for key in keys] == [64, 64, 15]


@pytest.mark.parametrize("key", ["embedding_length", "feed_forward_length", "attention.head_count"])
def test_metadata_lists_are_replaced_item_by_item(key: str, tmp_path: Path) -> None:
    """One number for each layer: mistral.rs takes them where they are all the same."""
    number = {"embedding_length": 960, "feed_forward_length": 1248, "attention.head_count": 15}[key]
    metadata = {f"llama.{key}": [number, number]}
    path = make_gguf(tmp_path / "m.gguf", **{**NARROW, "feed_forward": 1248}, metadata=metadata)
    facts = read_file_facts(padded_copy(tmp_path / "padded.gguf", path))
    assert (facts.embedding_width, facts.feed_forward_width, facts.heads) == (1024, 1280, 15)
    written = GGUFReader(tmp_path / "padded.gguf").fields[f"llama.{key}"].contents()
    assert written == [written[0]] * 2
    assert written[0] == {"embedding_length": 1024, "feed_forward_length": 1280}.get(key, 15)


@pytest.mark.parametrize(
    "changes",
    [
        {},  # wide enough
        {**NARROW, "width": 288, "heads": 3, "kv_heads": 3, "head_width": 96},  # 288 would become 512
        {**NARROW, "architecture": "qwen3"},
        {**NARROW, "architecture": "mixtral", "experts": 4},
        {**QWEN, "heads": 12, "kv_heads": 2, "head_width": 64},  # 12 heads of 64 stay 768; the width is 1,024
        {**NARROW, "metadata": {"llama.rope.scaling.factor": 4.0}},
        {**NARROW, "metadata": {"llama.attention.head_count_kv": [5, 3]}},
        {**NARROW, "metadata": {"llama.feed_forward_length": 1024}},  # not what the tensors say
    ],
    ids=str,
)
def test_model_that_gains_nothing_is_not_padded(changes: dict[str, Any], facts: Any, tmp_path: Path) -> None:
    model = facts(**changes)
    assert find_padding(model) is None
    assert not choose_form(model, LAPTOP, 2048).pad_rows
    with pytest.raises(ModelFileError, match="cannot be padded"):
        write_padded([tmp_path / "m.gguf"], [io.BytesIO()])


def test_model_with_an_unknown_type_is_not_padded(facts: Any) -> None:
    model = facts(**NARROW)
    unknown = [
        replace(group, type="type 99", bytes=0) if group.role == "embedding" else group
        for group in model.tensors
    ]
    assert find_padding(model) is not None
    assert find_padding(replace(model, tensors=tuple(unknown))) is None


def test_wrong_shape_is_an_error(tmp_path: Path) -> None:
    """Also where one is as much too small as another is too large: the sums are right then."""
    spec = GgufSpec(**NARROW)
    other = {"blk.0.ffn_gate.weight": 1248, "blk.1.ffn_gate.weight": 1312}
    tensors = [replace(t, shape=(960, other[t.name])) if t.name in other else t for t in tensors_of(spec)]
    write_gguf(tmp_path / "m.gguf", metadata_of(spec), tensors)
    assert find_padding(read_file_facts(tmp_path / "m.gguf")) is not None
    with pytest.raises(ModelFileError, match=r"blk\.0\.ffn_gate\.weight does not have the shape"):
        padded_copy(tmp_path / "padded.gguf", tmp_path / "m.gguf")


@pytest.mark.skipif(sys.platform != "linux", reason="rows are padded on Linux only")
def test_copy_is_on_disk_without_memfd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_gguf(tmp_path / "m.gguf", **NARROW)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with contextlib.ExitStack() as stack:
        (copy,) = padded_copies([path], stack)
        assert str(folder) in os.readlink(copy)
        assert not os.listdir(folder)  # it has no name, and ends with the process
        assert read_file_facts(copy).embedding_width == 1024


@pytest.mark.skipif(sys.platform != "linux", reason="rows are padded on Linux only")
def test_copy_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_gguf(tmp_path / "m.gguf", **NARROW)
    monkeypatch.setattr(os, "memfd_create", lambda name: os.open("/dev/full", os.O_RDWR), raising=False)
    with pytest.raises(ModelFileError) as raised, contextlib.ExitStack() as stack:
        padded_copies([path], stack)
    told = load_failure(raised.value)
    assert told.title == "The rows of this model could not be padded"
    assert told.message == "The padded copy could not be written: No space left on device."
    assert "engine.pad_rows" in told.hint


@pytest.mark.parametrize(
    ("stored", "machine", "wish", "padded", "in_situ"),
    [
        ("Q8_0", {}, {}, True, None),
        ("F16", {}, {}, True, "Q8_0"),
        # Finer than a large model would get: a small one loses most by being rounded again.
        ("Q4_1", {}, {}, True, "Q8_0"),
        ("Q8_0", {"avx2": False}, {}, False, None),
        # No kernel of Q8_0 is rearranged without VNNI, but those of K-quants are.
        ("Q8_0", {"vnni": False}, {}, False, None),
        # The rows behind attention, which are left, fit no K-quant.
        ("Q4_1", {"vnni": False}, {}, False, "Q8_0"),
        ("F16", {"vnni": False}, {}, False, "Q8_0"),
        ("Q8_0", {}, {"pad_rows": False}, False, None),
        ("Q4_1", {}, {"pad_rows": False}, False, "Q8_0"),
        # As stored: slow in any case, and no use in making it larger.
        ("Q4_1", {}, {"in_situ": None}, False, None),
        ("Q8_0", {}, {"in_situ": None}, True, None),
        ("Q4_1", {}, {"in_situ": "Q6K"}, True, "Q6K"),
    ],
)
def test_fastest_form_is_chosen(
    stored: str, machine: dict[str, Any], wish: dict[str, Any], padded: bool, in_situ: str | None, facts: Any
) -> None:
    model = facts(matrix=stored, embedding="F16" if stored == "F16" else stored, **NARROW)
    form = choose_form(model, replace(LAPTOP, **machine), 2048, **wish)
    assert (form.pad_rows, form.in_situ) == (padded, in_situ)
    assert any("rows padded from 960 to 1,024" in reason for reason in form.reasons) == padded
    assert not padded or not any("fit no K-quant" in reason for reason in form.reasons)
    assert form.facts.embedding_width == (1024 if padded else 960)


def test_plan_counts_the_copy_while_loading(facts: Any) -> None:
    """Room is made for as much as the plan says: without it two models could be loaded where one fits."""
    model = facts(matrix="Q8_0", **NARROW)
    padding = find_padding(model)
    assert padding is not None
    padded = padded_facts(model, padding)
    copy = sum(group.bytes for group in padded.tensors)
    plan = plan_load(model, LAPTOP)
    assert plan.pad_rows
    assert plan.memory.loading == estimate_memory(padded, None, plan.context).loading + copy


def test_without_vnni_k_quants_are_chosen(facts: Any) -> None:
    model = facts(**{**QWEN, "matrix": "Q4_1", "embedding": "Q4_1", "output": None})
    form = choose_form(model, replace(LAPTOP, vnni=False), 2048)
    assert (form.pad_rows, form.in_situ) == (True, "Q6K")


def test_short_memory_prevents_padding(facts: Any) -> None:
    model = facts(matrix="Q8_0", **NARROW)
    as_stored = estimate_memory(model, None, 2048)
    tight = replace(LAPTOP, memory_available=as_stored.peak)
    assert not choose_form(model, tight, 2048).pad_rows
