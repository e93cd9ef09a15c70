"""Writes GGUFs with random weights, for tests and to measure the speed of this machine.

The weights have a normal size, so replies are nonsense but every number is finite. Quantized blocks are
random bits with small scales, which needs no quantizer. A pattern of 512 blocks repeats, so writing a
gigabyte takes only seconds.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from spnl_tui.models.files.gguf_header import TENSOR_TYPES

_NUMBERS = {name: number for number, (name, _, _) in TENSOR_TYPES.items()}
_ALIGNMENT = 32
_WRITE_BYTES = 1 << 20


@dataclass(frozen=True)
class Tensor:
    """A tensor's shape as in GGUF (row length first), its type, and optionally one value for all elements."""

    name: str
    shape: Sequence[int]
    type: str
    fill: float | None = None

    @property
    def size(self) -> int:
        """Size in bytes."""
        _, block, block_bytes = TENSOR_TYPES[_NUMBERS[self.type]]
        elements = 1
        for dimension in self.shape:
            elements *= dimension
        return elements // block * block_bytes


def byte_letters() -> Iterator[str]:
    """Yield the characters with which GPT-2 writes the 256 bytes. Printable bytes stand for themselves."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return (chr(byte) if byte in printable else chr(next(spare)) for byte in range(256))


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Sequence[Tensor], seed: int = 0) -> None:
    """Write a GGUF, which need not be valid.

    Metadata values are str, int (u32), float (f32), bool, lists of these, or a pair of type and value:
    ("u16", 3).
    """
    randomness = random.Random(seed)
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, value in metadata.items():
            file.write(_text(key) + _typed(value))
        offset = 0
        for tensor in tensors:
            file.write(_text(tensor.name) + struct.pack("<I", len(tensor.shape)))
            file.write(struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape))
            file.write(struct.pack("<IQ", _NUMBERS[tensor.type], offset))
            offset += -(-tensor.size // _ALIGNMENT) * _ALIGNMENT
        file.write(bytes(-file.tell() % _ALIGNMENT))
        patterns: dict[str, bytes] = {}
        for tensor in tensors:
            _write_data(file, tensor, patterns, randomness)
            file.write(bytes(-tensor.size % _ALIGNMENT))


def _write_data(
    file: BinaryIO, tensor: Tensor, patterns: dict[str, bytes], randomness: random.Random
) -> None:
    size = tensor.size
    if tensor.fill is not None:
        file.write(struct.pack("<f", tensor.fill) * (size // 4))
        return
    pattern = patterns.get(tensor.type)
    if pattern is None:
        block = _block(tensor.type, randomness)
        pattern = patterns[tensor.type] = b"".join(islice(block, 512))
    # Begin each tensor at another block of the pattern, so that no two are equal.
    step = TENSOR_TYPES[_NUMBERS[tensor.type]][2]
    start = randomness.randrange(len(pattern) // step) * step
    rotated = pattern[start:] + pattern[:start]
    # Repeat short patterns, because many small writes would take most of the time.
    rotated *= max(1, min(size, _WRITE_BYTES) // len(rotated))
    whole, rest = divmod(size, len(rotated))
    for _ in range(whole):
        file.write(rotated)
    file.write(rotated[:rest])


def _block(type: str, randomness: random.Random) -> Iterator[bytes]:
    """Yield blocks of this type endlessly, with values between about -0.05 and 0.05."""
    size = TENSOR_TYPES[_NUMBERS[type]][2]
    bits = randomness.randbytes

    def half(value: float) -> bytes:
        return struct.pack("<e", value)

    while True:
        match type:
            case "F32":
                yield struct.pack("<f", randomness.uniform(-0.05, 0.05))
            case "F16":
                yield half(randomness.uniform(-0.05, 0.05))
            case "BF16":
                yield struct.pack("<f", randomness.uniform(-0.05, 0.05))[2:]
            case "Q4_0" | "Q5_0":
                yield half(0.05 / (8 if type == "Q4_0" else 16)) + bits(size - 2)
            case "Q4_1" | "Q5_1":
                yield half(0.1 / (15 if type == "Q4_1" else 31)) + half(-0.05) + bits(size - 4)
            case "Q8_0":
                yield half(0.05 / 127) + bits(size - 2)
            case "Q2_K":
                # Scale and minimum share a byte, four bits each: 8 × (q - 1.5) centres the values on zero.
                yield bytes([0xC8] * 16) + bits(64) + half(0.05 / 12) + half(0.05 / 12)
            case "Q3_K":
                yield bits(size - 2) + half(0.05 / 128)
            case "Q4_K" | "Q5_K":
                # Twelve bytes of packed 6-bit fields set all scales and minima to 32.
                scales = bytes([0x20] * 8 + [0x00] * 4)
                top = 15 if type == "Q4_K" else 31
                yield half(0.1 / 32 / top) + half(0.05 / 32) + scales + bits(size - 16)
            case "Q6_K":
                yield bits(192) + bytes([32] * 16) + half(0.05 / 32 / 32)
            case _:
                yield bits(size)


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(data)) + data


_CODES = {
    "u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
    "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d"),
}  # fmt: skip


def _typed(value: Any) -> bytes:
    kind, body = _value(value)
    return struct.pack("<I", kind) + body


def _value(value: Any) -> tuple[int, bytes]:
    if isinstance(value, tuple):
        number, code = _CODES[value[0]]
        return number, struct.pack("<" + code, value[1])
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, _text(value)
    number, body = _list(value)
    return 9, struct.pack("<IQ", number, len(value)) + body


def _list(values: Sequence[Any]) -> tuple[int, bytes]:
    """Return the common type of these values and their bytes."""
    if not values:
        return 4, b""
    first = values[0]
    if isinstance(first, str):
        return 8, b"".join(map(_text, values))
    if isinstance(first, tuple):
        number, code = _CODES[first[0]]
        return number, struct.pack(f"<{len(values)}{code}", *(value for _, value in values))
    number, code = _CODES["bool" if isinstance(first, bool) else "u32" if isinstance(first, int) else "f32"]
    return number, struct.pack(f"<{len(values)}{code}", *values)
