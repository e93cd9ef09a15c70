"""Headers are read whole and right, from as few bytes as they take, and hostile ones end in a clear error."""

from __future__ import annotations

import itertools
import os
import random
import struct
import tracemalloc
from pathlib import Path

import pytest

from benchmarks.fuzz_gguf import mutations, survives
from spnl_tui.errors import ModelFileError
from spnl_tui.models.files.gguf import read_facts, read_file_facts
from spnl_tui.models.files.gguf_header import Source
from spnl_tui.models.files.local import read_local_facts, resolve_local
from tests.support.gguf_maker import (
    ARCHITECTURES,
    CHATML,
    SPARSE,
    GgufSpec,
    header_architecture,
    make_gguf,
    make_sharded_gguf,
    type_shares,
)


def source(data: bytes, name: str = "x.gguf") -> Source:
    return Source(name, len(data), lambda offset, length: data[offset : offset + length])


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(*values: bytes, tensors: bytes = b"", tensor_count: int = 0) -> bytes:
    """A header of these values and tensors, and a little more."""
    return (
        b"GGUF" + struct.pack("<IQQ", 3, tensor_count, len(values)) + b"".join(values) + tensors + bytes(256)
    )


LLAMA = text("general.architecture") + struct.pack("<I", 8) + text("llama")


def test_facts_of_the_starter_are_read(starter_gguf: Path) -> None:
    facts = read_file_facts(starter_gguf)
    assert (facts.architecture, facts.parameters, facts.context_length) == ("llama", 134_515_008, 8192)
    assert (facts.layers, facts.heads, facts.kv_heads, facts.kv_heads_total) == (30, 9, 3, 90)
    assert (facts.key_width, facts.embedding_width, facts.feed_forward_width) == (64, 576, 1536)
    assert (facts.vocabulary, facts.tokenizer, facts.file_type) == (49152, "gpt2", "Q4_1")
    assert list(type_shares(facts)) == ["Q4_1", "Q8_0", "F32"]
    assert type_shares(facts)["Q4_1"] == pytest.approx(0.687, abs=0.001)
    assert {group.row for group in facts.tensors if group.type == "Q4_1"} == {576, 1536}
    assert facts.chat_template is not None
    assert "<|im_start|>" in facts.chat_template
    assert facts.kv_cache_bytes(8192, 4) == 2 * 90 * 64 * 8192 * 4


def test_remote_header_reads_only_a_prefix(starter_gguf: Path) -> None:
    """The whole file is never asked for, and no byte twice."""
    asked: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        with starter_gguf.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    facts = read_facts(Source("remote", starter_gguf.stat().st_size, read))
    assert facts == read_file_facts(starter_gguf)
    assert sum(length for _, length in asked) < 4 << 20
    assert all(a + n <= b + 65_536 for (a, n), (b, _) in itertools.pairwise(asked))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_facts_of_synthetic_models_are_read(architecture: str, tmp_path: Path) -> None:
    experts = 4 if architecture in SPARSE else 0
    path = make_gguf(tmp_path / "m.gguf", architecture=architecture, experts=experts, head_width=96, layers=3)
    facts = read_file_facts(path)
    assert facts.architecture == header_architecture(architecture)
    assert facts.experts == experts
    assert (facts.key_width, facts.kv_heads_total, facts.layers) == (96, 6, 3)
    assert facts.chat_template == CHATML
    assert facts.file_bytes == path.stat().st_size
    assert any(group.role == "experts" for group in facts.tensors) == bool(experts)


def test_shards_are_read_as_one_model(tmp_path: Path) -> None:
    whole = read_file_facts(make_gguf(tmp_path / "whole.gguf"))
    shards = make_sharded_gguf(tmp_path, "model", 3)
    facts = read_file_facts(*shards)
    assert (facts.parameters, facts.tensors) == (whole.parameters, whole.tensors)
    assert facts.file_bytes == sum(shard.stat().st_size for shard in shards)
    with pytest.raises(ModelFileError, match="Shards are missing"):
        read_file_facts(*shards[:2])


def test_values_that_differ_by_layer_give_the_largest(tmp_path: Path) -> None:
    path = make_gguf(tmp_path / "m.gguf", metadata={"llama.attention.head_count_kv": [2, 1]})
    facts = read_file_facts(path)
    assert (facts.kv_heads, facts.kv_heads_total) == (2, 3)


def test_control_characters_of_a_header_are_removed(tmp_path: Path) -> None:
    path = make_gguf(
        tmp_path / "m.gguf", name="\x1b[2Jevil\u202e\n name", metadata={"general.architecture": "\x1bx"}
    )
    facts = read_file_facts(path)
    assert facts.name == "[2Jevil  name"
    assert facts.architecture == "x"


def test_unknown_tensor_type_is_named_but_not_refused(tmp_path: Path) -> None:
    data = make_gguf(tmp_path / "m.gguf", matrix="Q4_0").read_bytes()
    at = data.index(b"blk.0.attn_q.weight") + len(b"blk.0.attn_q.weight") + 4 + 16
    changed = data[:at] + struct.pack("<I", 99) + data[at + 4 :]
    assert any(group.type == "type 99" for group in read_facts(source(changed)).tensors)


def tensor(*shape: int, kind: int = 0, offset: int = 0) -> bytes:
    return text("t") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


HOSTILE = {
    "nothing": b"",
    "text": b"Dear user, this is no model.\n" * 10,
    "another format": b"PK\x03\x04" + bytes(100),
    "version 1": b"GGUF" + struct.pack("<IQQ", 1, 0, 0) + bytes(64),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0) + bytes(64),
    "no architecture": gguf(text("general.name") + struct.pack("<I", 8) + text("x")),
    "a huge number of tensors": gguf(LLAMA, tensor_count=2**60),
    "a huge number of values": b"GGUF" + struct.pack("<IQQ", 3, 1, 2**63) + bytes(100),
    "a text past the end": gguf(struct.pack("<Q", 2**62)),
    "a value past the end": gguf(text("k") + struct.pack("<IQ", 8, 2**62)),
    "an array past the end": gguf(text("k") + struct.pack("<IIQ", 9, 8, 2**60)),
    "a long array past the end": gguf(text("k") + struct.pack("<IIQ", 9, 10, 2**61)),
    "an array of arrays": gguf(text("k") + struct.pack("<IIQ", 9, 9, 2**60)),
    "an unknown value type": gguf(text("k") + struct.pack("<I", 77)),
    "negative layers": gguf(LLAMA, text("llama.block_count") + struct.pack("<Ii", 5, -5)),
    "too many layers": gguf(LLAMA, text("llama.block_count") + struct.pack("<II", 4, 2**31)),
    "a wild alignment": gguf(LLAMA, text("general.alignment") + struct.pack("<II", 4, 0)),
    "too many dimensions": gguf(LLAMA, tensors=tensor(1, 1, 1, 1, 1), tensor_count=1),
    "a tensor larger than anything": gguf(LLAMA, tensors=tensor(2**40, 2**40), tensor_count=1),
    "an empty tensor": gguf(LLAMA, tensors=tensor(0, 4), tensor_count=1),
    "rows that no block fits": gguf(LLAMA, tensors=tensor(33, 2, kind=8), tensor_count=1),
    "tensor data past the end": gguf(LLAMA, tensors=tensor(32, offset=2**50), tensor_count=1),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_header_gives_a_short_error(data: bytes) -> None:
    with pytest.raises(ModelFileError) as caught:
        read_facts(source(data))
    assert len(str(caught.value).splitlines()) <= 4
    assert caught.value.title
    assert caught.value.message


def test_tensor_data_past_the_end_of_file_is_an_error(starter_gguf: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    with starter_gguf.open("rb") as file:
        cut.write_bytes(file.read(5_000_000))
    with pytest.raises(ModelFileError, match="cut short"):
        read_file_facts(cut)


@pytest.mark.slow
def test_false_array_length_does_not_use_memory() -> None:
    """Half a million empty tokens are skipped, not kept: a list of them would take 4 MB."""
    tokens = (
        struct.pack("<Q", 21)
        + b"tokenizer.ggml.tokens"
        + struct.pack("<IIQ", 9, 8, 500_000)
        + bytes(4_000_000)
    )
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + tokens
    data += struct.pack("<Q", 20) + b"general.architecture" + struct.pack("<IQ", 8, 5) + b"llama" + bytes(64)
    tracemalloc.start()
    facts = read_facts(source(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert facts.vocabulary == 500_000
    assert peak < 4_000_000


@pytest.mark.slow
def test_endless_header_is_an_error() -> None:
    """Tokens for a gigabyte: no more than the limit is read."""
    start = (
        b"GGUF"
        + struct.pack("<IQQ", 3, 0, 1)
        + struct.pack("<Q", 1)
        + b"t"
        + struct.pack("<IIQ", 9, 8, 1 << 26)
    )
    read = 0

    def endless(offset: int, length: int) -> bytes:
        nonlocal read
        read += length
        return (start + bytes(length))[offset : offset + length] if offset < len(start) else bytes(length)

    with pytest.raises(ModelFileError, match="longer than"):
        read_facts(Source("endless", 1 << 40, endless))
    assert read <= 65 << 20


def test_mutated_header_gives_facts_or_an_error(tmp_path: Path) -> None:
    """Each ends in facts or in a ModelFileError; the 10,000 are in benchmarks/fuzz_gguf.py."""
    data = make_gguf(tmp_path / "m.gguf", GgufSpec(layers=1)).read_bytes()
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    for mutation in mutations(data, 500, seed):
        assert survives(mutation)


class TestResolveLocal:
    def test_a_file(self, tmp_path: Path) -> None:
        path = make_gguf(tmp_path / "m.gguf")
        model = resolve_local(path)
        assert (model.name, model.format, model.directory, model.files) == (
            str(path),
            "gguf",
            tmp_path,
            ("m.gguf",),
        )
        assert resolve_local(path, "mine").name == "mine"
        assert read_local_facts(model).architecture == "llama"

    def test_one_shard_finds_the_others(self, tmp_path: Path) -> None:
        shards = make_sharded_gguf(tmp_path, "model", 3)
        names = tuple(shard.name for shard in shards)
        assert resolve_local(shards[1]).files == names
        assert resolve_local(tmp_path).files == names
        shards[0].unlink()
        with pytest.raises(ModelFileError, match="not number 1"):
            resolve_local(shards[1])

    def test_a_directory_of_one_model(self, tmp_path: Path) -> None:
        make_gguf(tmp_path / "m.GGUF")
        (tmp_path / "mmproj-m.gguf").write_bytes(b"no matter")
        assert resolve_local(tmp_path).files == ("m.GGUF",)

    def test_several_models_in_a_directory_are_named(self, tmp_path: Path) -> None:
        make_gguf(tmp_path / "m-Q8_0.gguf")
        make_sharded_gguf(tmp_path, "m-F16", 2)
        with pytest.raises(ModelFileError) as caught:
            resolve_local(tmp_path)
        assert "m-Q8_0.gguf" in caught.value.message
        assert "m-F16 (in 2 shards)" in caught.value.message

    @pytest.mark.parametrize("content", [b"", b"some text", b"GGUF" + bytes(8), b"GGUF" + bytes(40)])
    def test_file_that_is_not_a_model_is_an_error(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "x.gguf"
        path.write_bytes(content)
        with pytest.raises(ModelFileError) as caught:
            resolve_local(path)
        assert len(str(caught.value).splitlines()) <= 4

    def test_missing_path_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(ModelFileError, match="does not exist"):
            resolve_local(tmp_path / "nope.gguf")
        with pytest.raises(ModelFileError, match="neither"):
            resolve_local(tmp_path)

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
    def test_unreadable(self, tmp_path: Path) -> None:
        path = make_gguf(tmp_path / "m.gguf")
        path.chmod(0)
        with pytest.raises(ModelFileError, match="cannot be read"):
            resolve_local(path)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.gguf")
        with pytest.raises(ModelFileError, match="neither a file"):
            resolve_local(tmp_path / "pipe.gguf")
