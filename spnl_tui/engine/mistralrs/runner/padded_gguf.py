"""Writes a copy of a GGUF with wider rows; models/padding.py explains why and chooses the widths."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from spnl_tui.errors import ModelFileError
from spnl_tui.models.facts import clean
from spnl_tui.models.files.gguf import file_source, read_file_facts
from spnl_tui.models.files.gguf_header import ARRAY, SCALARS, TENSOR_TYPES, HeaderReader, TensorInfo, Value
from spnl_tui.models.padding import Extent, Padding, find_padding

_U32 = 4
_COUNTS = struct.Struct("<QQ")
_COUNTS_AT = 8
_LIST = struct.Struct("<IQ")
"""The header of a list: the item type and the number of items."""
_NORMS = ("attn_norm.weight", "ffn_norm.weight", "output_norm.weight")
_NORMS_BEHIND = ("post_attention_norm.weight", "post_ffw_norm.weight")


def write_padded(files: Sequence[Path], targets: Sequence[BinaryIO]) -> None:
    """Write the model of these shards (in order) with padded rows, one target for each shard.

    Raises:
        ModelFileError: the model is damaged, or cannot be padded.
        OSError: a file cannot be read or written.
    """
    facts = read_file_facts(*files)
    padding = find_padding(facts)
    if padding is None:
        raise _cannot(f"{files[0].name} needs no padding, or its kind of model cannot be padded.")
    for file, target in zip(files, targets, strict=True):
        with file.open("rb") as stream:
            _write(_Shard(file, stream), target, padding, facts.architecture)


def _cannot(why: str) -> ModelFileError:
    return ModelFileError("The rows of this model cannot be padded", why, "Set engine.pad_rows to false.")


class _Shard:
    """One file with its header."""

    def __init__(self, file: Path, stream: BinaryIO) -> None:
        reader = HeaderReader(file_source(file, stream))
        self.values: list[Value] = list(reader.values())
        metadata_end = reader.position
        self.tensors: list[TensorInfo] = list(reader.tensors())
        self.alignment = reader.alignment
        self._stream, self._data_at = stream, reader.data
        stream.seek(0)
        self.metadata = bytearray(stream.read(metadata_end))
        """The metadata, preceded by the magic number, the version and the counts."""

    def data(self, info: TensorInfo) -> bytes:
        self._stream.seek(self._data_at + info.offset)
        return self._stream.read(info.bytes)


def _write(shard: _Shard, target: BinaryIO, padding: Padding, architecture: str) -> None:
    added = _patch(shard, padding, architecture)
    infos, offset = [], 0
    for info in shard.tensors:
        row, rows = _extents(info, padding)
        if (info.row, info.elements) != (row.sizes[0], row.sizes[0] * rows.sizes[0]):
            # The facts are sums over all tensors, so two wrong shapes can cancel out.
            raise _cannot(f"{clean(info.name, 60)} does not have the shape that the header declares.")
        shape = (row.sizes[1], rows.sizes[1])[: len(info.shape)]
        name = info.name.encode()
        infos.append(struct.pack("<Q", len(name)) + name + struct.pack("<I", len(shape)))
        infos.append(struct.pack(f"<{len(shape)}QIQ", *shape, info.type, offset))
        size = _bytes(info, row.sizes[1]) * rows.sizes[1]
        offset += size + -size % shard.alignment
    target.write(shard.metadata)
    target.write(added)
    target.writelines(infos)
    target.write(bytes(-target.tell() % shard.alignment))
    for info in shard.tensors:
        target.write(_padded(info, shard.data(info), padding))
        target.write(
            bytes(-target.tell() % shard.alignment)
        )  # mistral.rs requires padding after the last tensor, too
    target.flush()


def _patch(shard: _Shard, padding: Padding, architecture: str) -> bytes:
    """Write the new widths into the metadata. Return values to append that readers would otherwise derive
    wrongly."""
    known = {value.key: value for value in shard.values}
    if f"{architecture}.embedding_length" not in known:
        return b""  # only the first shard has this value
    epsilon = known[f"{architecture}.attention.layer_norm_rms_epsilon"]
    changed = {
        "embedding_length": padding.width.after,
        "feed_forward_length": padding.feed_forward.after,
        "attention.head_count": padding.heads,
        "attention.layer_norm_rms_epsilon": epsilon.value * padding.share,
    }
    for key, number in changed.items():
        _put(shard.metadata, known[f"{architecture}.{key}"], number)
    told = {
        "attention.head_count_kv": padding.keys.parts,
        "attention.key_length": padding.keys.before,
        "attention.value_length": padding.keys.before,
    }
    added = []
    for key, number in told.items():
        name = f"{architecture}.{key}"
        if name not in known:
            added.append(struct.pack("<Q", len(name)) + name.encode() + struct.pack("<II", _U32, number))
    _COUNTS.pack_into(shard.metadata, _COUNTS_AT, len(shard.tensors), len(shard.values) + len(added))
    return b"".join(added)


def _put(metadata: bytearray, value: Value, number: float) -> None:
    """Replace the value, or each item if it is a list with one item per layer."""
    kind, count, at = value.type, 1, value.position
    if kind == ARRAY:
        (kind, count), at = _LIST.unpack_from(metadata, at), at + _LIST.size
    for item in range(count):
        SCALARS[kind].pack_into(metadata, at + item * SCALARS[kind].size, number)


def _extents(info: TensorInfo, padding: Padding) -> tuple[Extent, Extent]:
    """Return the extents of a tensor's rows and of their number."""
    name = info.name
    if name.startswith("blk."):
        name = name.split(".", 2)[-1]
    count = info.elements // info.row
    row, rows = Extent(1, info.row, info.row), Extent(1, count, count)
    if name == "attn_q.bias":
        row = padding.queries
    elif name in (*_NORMS, *_NORMS_BEHIND, "token_embd.weight", "output.weight"):
        row = padding.width
    elif name.endswith(".weight"):
        row, rows = padding.matrices.get(name.removesuffix(".weight"), (row, rows))
    return row, rows


def _padded(info: TensorInfo, data: bytes, padding: Padding) -> bytes:
    """Return the tensor's data padded with zero bytes, which are zeros in every format: their scales are
    zero."""
    row, rows = _extents(info, padding)
    if info.name.endswith(_NORMS):
        # The mean over more elements is smaller, so dividing by its root gives larger results. Scale them
        # back.
        data = array("f", (weight * padding.share**0.5 for weight in array("f", data))).tobytes()
    data = _filled(data, _bytes(info, row.before), _bytes(info, row.after))
    row_bytes = _bytes(info, row.sizes[1])
    return _filled(data, rows.before * row_bytes, rows.after * row_bytes)


def _filled(data: bytes, before: int, after: int) -> bytes:
    """Return the data with every block of `before` bytes extended to `after` bytes."""
    if before == after:
        return data
    view, zeros = memoryview(data), bytes(after - before)
    pieces = (view[at : at + before] for at in range(0, len(data), before))
    return b"".join(chain.from_iterable((piece, zeros) for piece in pieces))


def _bytes(info: TensorInfo, elements: int) -> int:
    _, block, block_bytes = TENSOR_TYPES[info.type]
    return elements // block * block_bytes
