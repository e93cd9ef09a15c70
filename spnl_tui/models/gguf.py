"""The header of a GGUF, from a file or from the first bytes of a remote one.

The format is ggml's (docs/gguf.md there): magic, version, counts, metadata, tensor infos, padding, data.
The `gguf` package on PyPI maps the whole file and makes an array of every value, tokens included: it can
neither read a prefix nor survive a hostile file in bounded memory, so the few lines are written here.

Only what ModelFacts needs is kept. Everything else is skipped, in windows, so memory stays at a few megabytes
whatever the counts in the file claim, and no more than MAX_HEADER_BYTES are ever asked for.
"""

from __future__ import annotations

import contextlib
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from spnl_tui.errors import ModelFileError
from spnl_tui.models.facts import ModelFacts, TensorGroup, TensorRole, clean

MAGIC = b"GGUF"
MAX_HEADER_BYTES = 64 << 20
"""The largest real headers (260,000 tokens with merges) take about 20 MB."""
_WINDOW = 1 << 20
_MAX_METADATA = 10_000
_MAX_TENSORS = 100_000
_MAX_KEY = 65_535  # the format's own limit
_MAX_TEXT = 1 << 20
_MAX_KEPT_ARRAY = 4096  # per-layer values; tokenizer arrays are larger, and only counted
_MAX_DIMENSION = 1 << 31
_MAX_LAYERS = 10_000

TENSOR_TYPES: Mapping[int, tuple[str, int, int]] = {
    # ggml.h and ggml-common.h: number → name, elements of a block, bytes of a block.
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50), 20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8),
    28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
}  # fmt: skip

FILE_TYPES: Mapping[int, str] = {
    # llama.h, enum llama_ftype: what the file as a whole was quantized to.
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
    36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip

# Metadata value types: number → struct format. 8 is a string, 9 an array.
_SCALARS: Mapping[int, struct.Struct] = {
    number: struct.Struct("<" + code)
    for number, code in {
        0: "B",
        1: "b",
        2: "H",
        3: "h",
        4: "I",
        5: "i",
        6: "f",
        7: "?",
        10: "Q",
        11: "q",
        12: "d",
    }.items()
}
_STRING, _ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_KEPT_TEXTS = frozenset(
    {
        "general.architecture",
        "general.name",
        "general.basename",
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.chat_template",
    }
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of one GGUF come from.

    `read(offset, length)` returns that many bytes, fewer only at the end of the file. For a remote file it
    makes Range requests; it is asked for windows of one megabyte, mostly one after the other from the start.
    """

    name: str
    size: int
    read: Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class _Header:
    values: Mapping[str, Any]
    arrays: Mapping[str, int]
    tensors: Counter[tuple[TensorRole, str, int]]
    tensor_bytes: Counter[tuple[TensorRole, str, int]]
    tensor_count: Counter[tuple[TensorRole, str, int]]


def read_file_facts(*files: Path) -> ModelFacts:
    """Facts of a GGUF on this disk; of a sharded one, give every shard in order.

    Raises:
        ModelFileError: the file cannot be read, or is not a whole and sound GGUF.
    """
    try:
        with contextlib.ExitStack() as stack:
            return read_facts(*(_file_source(file, stack.enter_context(file.open("rb"))) for file in files))
    except OSError as error:
        raise ModelFileError(
            "The model file cannot be read",
            f"{error.filename or files[0]}: {error.strerror or error}.",
            "Check the path and its permissions.",
        ) from error


def _file_source(file: Path, stream: BinaryIO) -> Source:
    def read(offset: int, length: int) -> bytes:
        stream.seek(offset)
        return stream.read(length)

    return Source(str(file), stream.seek(0, 2), read)


def read_facts(*sources: Source) -> ModelFacts:
    """Facts of a GGUF, from as few bytes as its header takes; of a sharded one, give every shard in order.

    Raises:
        ModelFileError: a source is not a whole and sound GGUF, or shards are missing.
    """
    headers = [_read_header(source) for source in sources]
    first = headers[0].values
    count = first.get("split.count")
    if isinstance(count, int) and count > 1 and count != len(sources):
        raise ModelFileError(
            "Shards are missing",
            f"{sources[0].name} is one of {count} shards, and {len(sources)} were given.",
            "Put all shards into one directory, under their original names.",
        )
    return _facts(headers, sum(source.size for source in sources), sources[0].name)


class _Cursor:
    """Reads a source forward, through one window."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._window = b""
        self._start = 0
        self._asked = 0
        self.position = 0

    def damaged(self, why: str) -> ModelFileError:
        return ModelFileError(
            "The GGUF header is damaged", f"{self._source.name}: {why}.", "Pull or copy the file again."
        )

    def cut_short(self) -> ModelFileError:
        return ModelFileError(
            "The GGUF is cut short",
            f"{self._source.name} has {self._source.size:,} bytes, and its header speaks of more.",
            "The download or copy did not finish: pull or copy the file again.",
        )

    def skip(self, length: int) -> None:
        self.position += length
        if self.position > self._source.size:
            raise self.cut_short()

    def _need(self, length: int) -> int:
        """Make `length` bytes at the position available; returns where in the window they begin."""
        at = self.position - self._start
        if at >= 0 and at + length <= len(self._window):
            return at
        if self.position + length > self._source.size:
            raise self.cut_short()
        wanted = min(max(length, _WINDOW), self._source.size - self.position)
        self._asked += wanted
        if self._asked > MAX_HEADER_BYTES:
            raise self.damaged(f"it is longer than {MAX_HEADER_BYTES >> 20} MiB, which no real model's is")
        self._window, self._start = self._source.read(self.position, wanted), self.position
        if len(self._window) < length:
            raise self.cut_short()
        return 0

    def take(self, length: int) -> bytes:
        at = self._need(length)
        self.position += length
        return self._window[at : at + length]

    def number(self, kind: struct.Struct) -> Any:
        at = self._need(kind.size)
        self.position += kind.size
        return kind.unpack_from(self._window, at)[0]

    def text(self, limit: int) -> str:
        length = self.number(_U64)
        if length > limit:
            raise (
                self.cut_short()
                if self.position + length > self._source.size
                else self.damaged(f"a text of {length:,} bytes where {limit:,} are the most")
            )
        return self.take(length).decode("utf-8", "replace")

    def skip_texts(self, count: int) -> None:
        """Skip an array of strings: only their lengths are looked at."""
        if self.position + 8 * count > self._source.size:
            raise self.cut_short()
        unpack = _U64.unpack_from
        while count:
            at = self._need(8)
            window, last = self._window, len(self._window) - 8
            while count and at <= last:
                at += 8 + unpack(window, at)[0]
                count -= 1
            self.position = self._start + at
            if self.position > self._source.size:
                raise self.cut_short()


def _read_header(source: Source) -> _Header:
    cursor = _Cursor(source)
    if source.size < 24 or cursor.take(4) != MAGIC:
        what = "is empty" if source.size == 0 else "does not begin as a GGUF does"
        raise ModelFileError("Not a GGUF file", f"{source.name} {what}.", "Choose a file that ends in .gguf.")
    version = cursor.number(_U32)
    if version not in (2, 3):
        # Version 1 is of August 2023; a byte-swapped number is a big-endian file.
        raise ModelFileError(
            "Unsupported GGUF version",
            f"{source.name} is of version {version}.",
            "Versions 2 and 3 can be loaded.",
        )
    tensor_count, metadata_count = cursor.number(_U64), cursor.number(_U64)
    if tensor_count > _MAX_TENSORS or metadata_count > _MAX_METADATA:
        raise cursor.damaged(f"it claims {tensor_count:,} tensors and {metadata_count:,} values")

    values: dict[str, Any] = {}
    arrays: dict[str, int] = {}
    for _ in range(metadata_count):
        _read_value(cursor, values, arrays)

    header = _Header(values, arrays, Counter(), Counter(), Counter())
    end = 0
    for _ in range(tensor_count):
        end = max(end, _read_tensor(cursor, header, source.size))
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise cursor.damaged(f"an alignment of {alignment}")
    data = -(-cursor.position // alignment) * alignment
    if tensor_count and data + end > source.size:
        raise cursor.cut_short()
    return header


def _read_value(cursor: _Cursor, values: dict[str, Any], arrays: dict[str, int]) -> None:
    key = cursor.text(_MAX_KEY)
    kind = cursor.number(_U32)
    if kind in _SCALARS:
        value = cursor.number(_SCALARS[kind])
        if len(key) <= 256:
            values[key] = value
    elif kind == _STRING:
        if key in _KEPT_TEXTS:
            values[key] = cursor.text(_MAX_TEXT)
        else:
            cursor.skip(cursor.number(_U64))
    elif kind == _ARRAY:
        item, count = cursor.number(_U32), cursor.number(_U64)
        if len(key) <= 256:
            arrays[key] = count
        if item == _STRING:
            cursor.skip_texts(count)
        elif item not in _SCALARS:
            raise cursor.damaged(f"{clean(key, 60)} is an array of arrays or of an unknown type {item}")
        elif count <= _MAX_KEPT_ARRAY and not key.startswith("tokenizer.") and len(key) <= 256:
            values[key] = [cursor.number(_SCALARS[item]) for _ in range(count)]
        else:
            cursor.skip(count * _SCALARS[item].size)
    else:
        raise cursor.damaged(f"{clean(key, 60)} has the unknown type {kind}")


def _read_tensor(cursor: _Cursor, header: _Header, file_size: int) -> int:
    """Count one tensor in; returns where its data ends, from the start of the data."""
    name = cursor.text(_MAX_KEY)
    dimensions = cursor.number(_U32)
    if dimensions > 4:
        raise cursor.damaged(f"tensor {clean(name, 60)} has {dimensions} dimensions")
    shape = [cursor.number(_U64) for _ in range(dimensions)]
    kind, offset = cursor.number(_U32), cursor.number(_U64)
    elements = 1
    for size in shape:
        elements *= size
    # No format packs 16 elements into a byte: such a shape cannot be true.
    if not 0 < elements <= 16 * file_size:
        raise cursor.cut_short() if elements else cursor.damaged(f"tensor {clean(name, 60)} is empty")
    label, block, block_bytes = TENSOR_TYPES.get(kind, (f"type {kind}", 1, 0))
    row = shape[0] if shape else 1
    if row % block:
        raise cursor.damaged(
            f"tensor {clean(name, 60)} has rows of {row}, not a multiple of {label}'s {block}"
        )
    stored = elements // block * block_bytes
    group = (_role(name, dimensions), label, row)
    header.tensors[group] += elements
    header.tensor_bytes[group] += stored
    header.tensor_count[group] += 1
    return int(offset) + stored


def _role(name: str, dimensions: int) -> TensorRole:
    if name == "token_embd.weight":
        return "embedding"
    if name == "output.weight":
        return "output"
    return ("vector", "vector", "matrix", "experts", "experts")[dimensions]


def _facts(headers: Sequence[_Header], file_bytes: int, name: str) -> ModelFacts:
    values, arrays = headers[0].values, headers[0].arrays
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise ModelFileError(
            "Not a model",
            f"{name} is a GGUF that names no architecture.",
            "Choose a language model; an adapter or a projector cannot be loaded by itself.",
        )

    def number(key: str, limit: int = _MAX_DIMENSION) -> int | None:
        """A value of this architecture; of one that differs by layer, the largest."""
        value = values.get(f"{architecture}.{key}")
        if isinstance(value, list):
            value = max((v for v in value if isinstance(v, int)), default=None)
        if not isinstance(value, int) or isinstance(value, bool):
            return None
        if not 0 <= value <= limit:
            raise ModelFileError(
                "The GGUF header is damaged",
                f"{name}: {clean(architecture, 60)}.{key} is {value:,}.",
                "Pull it again.",
            )
        return value

    def real(key: str) -> float | None:
        value = values.get(f"{architecture}.{key}")
        return value if isinstance(value, float) else None

    layers = number("block_count", _MAX_LAYERS)
    heads, width = number("attention.head_count"), number("embedding_length")
    kv_heads = number("attention.head_count_kv")
    kv_heads = heads if kv_heads is None else kv_heads
    by_layer = values.get(f"{architecture}.attention.head_count_kv")
    head_width = width // heads if width and heads else None
    key_width, value_width = number("attention.key_length"), number("attention.value_length")
    total: Counter[tuple[TensorRole, str, int]] = sum((h.tensors for h in headers), Counter())
    stored: Counter[tuple[TensorRole, str, int]] = sum((h.tensor_bytes for h in headers), Counter())
    count: Counter[tuple[TensorRole, str, int]] = sum((h.tensor_count for h in headers), Counter())
    template = values.get("tokenizer.chat_template")
    kind = values.get("tokenizer.ggml.model")
    title, basename = values.get("general.name"), values.get("general.basename")
    pre = values.get("tokenizer.ggml.pre")
    return ModelFacts(
        format="gguf",
        architecture=clean(architecture, 60),
        name=clean(title, 200) if isinstance(title, str) else None,
        basename=clean(basename, 200) if isinstance(basename, str) else None,
        file_type=FILE_TYPES.get(values.get("general.file_type", -1)),
        file_bytes=file_bytes,
        parameters=sum(total.values()),
        context_length=number("context_length"),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        kv_heads_total=(
            sum(v for v in by_layer if isinstance(v, int))
            if isinstance(by_layer, list)
            else (None if layers is None or kv_heads is None else layers * kv_heads)
        ),
        key_width=head_width if key_width is None else key_width,
        value_width=head_width if value_width is None else value_width,
        embedding_width=width,
        feed_forward_width=number("feed_forward_length"),
        experts=number("expert_count") or 0,
        experts_used=number("expert_used_count") or 0,
        sliding_window=number("attention.sliding_window") or None,
        norm_epsilon=real("attention.layer_norm_rms_epsilon"),
        rope_base=real("rope.freq_base"),
        vocabulary=arrays.get("tokenizer.ggml.tokens") or number("vocab_size"),
        merges=arrays.get("tokenizer.ggml.merges"),
        tensors=tuple(
            TensorGroup(role, label, row, count[role, label, row], elements, stored[role, label, row])
            for (role, label, row), elements in sorted(total.items())
        ),
        tokenizer=clean(kind, 60) if isinstance(kind, str) else None,
        pre_tokenizer=clean(pre, 60) if isinstance(pre, str) else None,
        chat_template=template if isinstance(template, str) and template.strip() else None,
    )
