"""The GGUF format: its types, and a reader of headers in local and remote files.

ggml defines the format (docs/gguf.md there): magic, version, counts, metadata, tensor infos, padding, data.
The `gguf` package on PyPI maps the whole file and makes an array of every value, tokens included. It can
neither read only the beginning of a file nor bound its memory on a hostile one, so this module has its own
reader.

The reader keeps only the values that callers use and skips the others in windows, so it takes a few
megabytes, whatever counts the file claims. It never reads more than MAX_HEADER_BYTES.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from spnl_tui.errors import ModelFileError
from spnl_tui.models.facts import clean

MAGIC = b"GGUF"
MAX_HEADER_BYTES = 64 << 20
"""The most bytes to read. The largest real headers (260,000 tokens with merges) take about 20 MB."""
_WINDOW = 1 << 20
_MAX_METADATA = 10_000
_MAX_TENSORS = 100_000
_MAX_KEY = 65_535  # the format's own limit
_MAX_TEXT = 1 << 20
_MAX_KEPT_ARRAY = 4096  # enough for one value per layer; tokenizer arrays are larger and only counted

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

SCALARS: Mapping[int, struct.Struct] = {
    # Metadata value types: number → struct format. 8 is a string, 9 is an array.
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
_STRING, ARRAY = 8, 9
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_KEPT_TEXTS = frozenset(
    {
        "general.architecture",
        "general.type",
        "general.name",
        "general.basename",
        "general.base_model.0.repo_url",
        "clip.projector_type",
        "clip.vision.projector_type",
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.chat_template",
    }
)


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of the bytes of one GGUF.

    `read(offset, length)` returns that many bytes, or fewer at the end of the file. For a remote file it
    makes Range requests for windows of one megabyte, mostly from start to end.
    """

    name: str
    size: int
    read: Callable[[int, int], bytes]


class _Cursor:
    """Reads a source from start to end through a window in memory."""

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
            f"{self._source.name} has only {self._source.size:,} bytes, fewer than its header requires.",
            "The download or copy is incomplete. Pull or copy the file again.",
        )

    def skip(self, length: int) -> None:
        self.position += length
        if self.position > self._source.size:
            raise self.cut_short()

    def _need(self, length: int) -> int:
        """Make `length` bytes at the current position available; return their offset in the window."""
        at = self.position - self._start
        if at >= 0 and at + length <= len(self._window):
            return at
        if self.position + length > self._source.size:
            raise self.cut_short()
        wanted = min(max(length, _WINDOW), self._source.size - self.position)
        self._asked += wanted
        if self._asked > MAX_HEADER_BYTES:
            raise self.damaged(
                f"it is longer than {MAX_HEADER_BYTES >> 20} MiB, more than that of any real model"
            )
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
        """Skip an array of strings, reading only their lengths."""
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


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the metadata."""

    key: str
    type: int
    value: Any
    """A number, a text or a list of numbers; None for texts that nobody uses and for long arrays."""
    count: int
    """The number of items of an array."""
    position: int
    """The offset in the file at which the value begins."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor, as the header describes it."""

    name: str
    shape: tuple[int, ...]
    """The number of elements in each dimension, beginning with the length of a row."""
    type: int
    """A key of TENSOR_TYPES, unless the type is unknown."""
    offset: int
    """Bytes from the start of the data section."""

    @property
    def label(self) -> str:
        """The name of the type."""
        return TENSOR_TYPES[self.type][0] if self.type in TENSOR_TYPES else f"type {self.type}"

    @property
    def row(self) -> int:
        """The number of elements in a row."""
        return self.shape[0] if self.shape else 1

    @property
    def elements(self) -> int:
        """The number of elements in the whole tensor."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The stored size in bytes; 0 if the type is unknown."""
        _, block, block_bytes = TENSOR_TYPES.get(self.type, ("", 1, 0))
        return self.elements // block * block_bytes


class HeaderReader:
    """Reads a header once, from start to end: first all of `values`, then all of `tensors`.

    Raises:
        ModelFileError: the file is not a complete, valid GGUF. Iterating may raise it, too.
    """

    def __init__(self, source: Source) -> None:
        self._cursor = cursor = _Cursor(source)
        self._source = source
        if source.size < 24 or cursor.take(4) != MAGIC:
            what = "is empty" if source.size == 0 else "does not begin like a GGUF"
            raise ModelFileError(
                "Not a GGUF file", f"{source.name} {what}.", "Choose a file that ends in .gguf."
            )
        self.version = cursor.number(_U32)
        if self.version not in (2, 3):
            # Version 1 dates from August 2023. A byte-swapped number means a big-endian file.
            raise ModelFileError(
                "Unsupported GGUF version",
                f"{source.name} has version {self.version}.",
                "Versions 2 and 3 can be loaded.",
            )
        self.tensor_count, self.value_count = cursor.number(_U64), cursor.number(_U64)
        if self.tensor_count > _MAX_TENSORS or self.value_count > _MAX_METADATA:
            raise cursor.damaged(f"it claims {self.tensor_count:,} tensors and {self.value_count:,} values")
        self._alignment: Any = 32
        self._end = 0

    def values(self) -> Iterator[Value]:
        """Yield the metadata in file order."""
        for _ in range(self.value_count):
            value = self._value()
            if value.key == "general.alignment":
                self._alignment = value.value
            yield value

    def tensors(self) -> Iterator[TensorInfo]:
        """Yield the tensors in file order. After the last, check that the file contains the data of all."""
        for _ in range(self.tensor_count):
            info = self._tensor()
            self._end = max(self._end, info.offset + info.bytes)
            yield info
        data = self.data
        if self.tensor_count and data + self._end > self._source.size:
            raise self._cursor.cut_short()

    @property
    def position(self) -> int:
        """The number of bytes read so far."""
        return self._cursor.position

    @property
    def alignment(self) -> int:
        """Every tensor's data begins at a multiple of this number. Known once the values are read."""
        if not isinstance(self._alignment, int) or not 0 < self._alignment <= 1 << 20:
            raise self._cursor.damaged(f"an alignment of {self._alignment}")
        return self._alignment

    @property
    def data(self) -> int:
        """The offset of the data section. Known once everything is read."""
        return -(-self._cursor.position // self.alignment) * self.alignment

    def _value(self) -> Value:
        cursor = self._cursor
        key = cursor.text(_MAX_KEY)
        kind = cursor.number(_U32)
        position = cursor.position
        value: Any = None
        count = 0
        if kind in SCALARS:
            value = cursor.number(SCALARS[kind])
        elif kind == _STRING:
            if key in _KEPT_TEXTS:
                value = cursor.text(_MAX_TEXT)
            else:
                cursor.skip(cursor.number(_U64))
        elif kind == ARRAY:
            item, count = cursor.number(_U32), cursor.number(_U64)
            if item == _STRING:
                cursor.skip_texts(count)
            elif item not in SCALARS:
                raise cursor.damaged(f"{clean(key, 60)} is an array of arrays or of an unknown type {item}")
            elif count <= _MAX_KEPT_ARRAY and not key.startswith("tokenizer."):
                value = [cursor.number(SCALARS[item]) for _ in range(count)]
            else:
                cursor.skip(count * SCALARS[item].size)
        else:
            raise cursor.damaged(f"{clean(key, 60)} has the unknown type {kind}")
        return Value(key, kind, value, count, position)

    def _tensor(self) -> TensorInfo:
        cursor = self._cursor
        name = cursor.text(_MAX_KEY)
        dimensions = cursor.number(_U32)
        if dimensions > 4:
            raise cursor.damaged(f"tensor {clean(name, 60)} has {dimensions} dimensions")
        shape = tuple(cursor.number(_U64) for _ in range(dimensions))
        info = TensorInfo(name, shape, cursor.number(_U32), cursor.number(_U64))
        # No format stores more than 16 elements in a byte, so such a shape is wrong.
        if not 0 < info.elements <= 16 * self._source.size:
            raise (
                cursor.cut_short() if info.elements else cursor.damaged(f"tensor {clean(name, 60)} is empty")
            )
        _, block, _ = TENSOR_TYPES.get(info.type, ("", 1, 0))
        if info.row % block:
            raise cursor.damaged(
                f"tensor {clean(name, 60)} has rows of {info.row}, not a multiple of {info.label}'s {block}"
            )
        return info
