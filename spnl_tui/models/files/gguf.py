"""Reads a model's facts from a GGUF header, in a local file or in the first bytes of a remote one."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from spnl_tui.errors import ModelFileError, cause_of
from spnl_tui.models.facts import ModelFacts, TensorGroup, TensorRole, clean
from spnl_tui.models.files.gguf_header import ARRAY, HeaderReader, Source, TensorInfo
from spnl_tui.models.files.not_models import kind_by_header
from spnl_tui.models.files.projector import base_repository
from spnl_tui.models.files.soundness import Promise, find_defect

_MAX_DIMENSION = 1 << 31
_MAX_LAYERS = 10_000

FILE_TYPES: Mapping[int, str] = {
    # llama.h, enum llama_ftype: the quantization of the whole file.
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
    36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Header:
    values: dict[str, Any]
    arrays: dict[str, int]
    tensors: Counter[tuple[TensorRole, str, int]]
    tensor_bytes: Counter[tuple[TensorRole, str, int]]
    tensor_count: Counter[tuple[TensorRole, str, int]]
    shapes: dict[str, tuple[int, ...]]


def read_file_facts(*files: Path) -> ModelFacts:
    """Return the facts of a GGUF on this disk. Pass all shards of a model in order.

    Raises:
        ModelFileError: the file cannot be read, or is not a complete, valid GGUF.
    """
    try:
        with contextlib.ExitStack() as stack:
            return read_facts(*(file_source(file, stack.enter_context(file.open("rb"))) for file in files))
    except OSError as error:
        raise ModelFileError(
            "The model file cannot be read",
            f"{error.filename or files[0]}: {cause_of(error)}.",
            "Check the path and its permissions.",
        ) from error


def file_source(file: Path, stream: BinaryIO) -> Source:
    """Return an open file as a source."""

    def read(offset: int, length: int) -> bytes:
        stream.seek(offset)
        return stream.read(length)

    return Source(str(file), stream.seek(0, 2), read)


def read_facts(*sources: Source) -> ModelFacts:
    """Return the facts of a GGUF from the bytes of its header. Pass all shards of a model in order.

    Raises:
        ModelFileError: a source is not a complete, valid GGUF, or shards are missing.
    """
    headers = [_read_header(source) for source in sources]
    first = headers[0].values
    count = first.get("split.count")
    if isinstance(count, int) and count > 1 and count != len(sources):
        raise ModelFileError(
            "Shards are missing",
            f"{sources[0].name} is one of {count} shards, but only {len(sources)} were given.",
            "Put all shards into one directory, under their original names.",
        )
    return _facts(headers, sum(source.size for source in sources), sources[0].name)


def _read_header(source: Source) -> _Header:
    reader = HeaderReader(source)
    header = _Header({}, {}, Counter(), Counter(), Counter(), {})
    for value in reader.values():
        if len(value.key) > 256:
            continue
        if value.value is not None:
            header.values[value.key] = value.value
        if value.type == ARRAY:
            header.arrays[value.key] = value.count
    for info in reader.tensors():
        group = (_role(info), info.label, info.row)
        header.tensors[group] += info.elements
        header.tensor_bytes[group] += info.bytes
        header.tensor_count[group] += 1
        header.shapes[info.name] = info.shape
    return header


def _role(info: TensorInfo) -> TensorRole:
    if info.name == "token_embd.weight":
        return "embedding"
    if info.name == "output.weight":
        return "output"
    return ("vector", "vector", "matrix", "experts", "experts")[len(info.shape)]


def _facts(headers: Sequence[_Header], file_bytes: int, name: str) -> ModelFacts:
    values, arrays = headers[0].values, headers[0].arrays
    architecture, type = values.get("general.architecture"), values.get("general.type")
    kind = kind_by_header(type, architecture if isinstance(architecture, str) else "")
    if not isinstance(architecture, str) or not architecture:
        what = kind or "a GGUF that names no architecture"
        raise ModelFileError("Not a model", f"{name} is {what}.", "Choose a language model.")

    def number(key: str, limit: int = _MAX_DIMENSION) -> int | None:
        """Return a value of this architecture; the largest value if layers differ."""
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
    differ = any(
        isinstance(each := values.get(f"{architecture}.{key}"), list) and len(set(each)) > 1
        for key in ("attention.head_count", "attention.head_count_kv", "feed_forward_length")
    )
    key_width = head_width if key_width is None else key_width
    value_width = head_width if value_width is None else value_width
    feed_forward = number("feed_forward_length")
    vocabulary = arrays.get("tokenizer.ggml.tokens") or number("vocab_size")
    promise = Promise(
        architecture=architecture,
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        key_width=key_width,
        value_width=value_width,
        feed_forward=feed_forward,
        vocabulary=vocabulary,
        by_layer=differ,
    )
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
        key_width=key_width,
        value_width=value_width,
        embedding_width=width,
        feed_forward_width=feed_forward,
        experts=number("expert_count") or 0,
        experts_used=number("expert_used_count") or 0,
        sliding_window=number("attention.sliding_window") or None,
        norm_epsilon=real("attention.layer_norm_rms_epsilon"),
        rope_base=real("rope.freq_base"),
        vocabulary=vocabulary,
        merges=arrays.get("tokenizer.ggml.merges"),
        tensors=tuple(
            TensorGroup(role, label, row, count[role, label, row], elements, stored[role, label, row])
            for (role, label, row), elements in sorted(total.items())
        ),
        tokenizer=clean(kind, 60) if isinstance(kind, str) else None,
        pre_tokenizer=clean(pre, 60) if isinstance(pre, str) else None,
        chat_template=template if isinstance(template, str) and template.strip() else None,
        rope_scale=real("rope.scaling.factor"),
        base=base_repository(values),
        type=clean(type, 60) if isinstance(type, str) else None,
        defect=find_defect(promise, {name: shape for h in headers for name, shape in h.shapes.items()}),
    )
