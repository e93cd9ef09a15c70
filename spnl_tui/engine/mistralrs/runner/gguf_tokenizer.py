"""Writes the tokenizer.json that a SentencePiece GGUF lacks, so that mistral.rs tokenizes text as in
training.

Such a file (Gemma, Llama 2, Mistral 7B, Phi-3: `tokenizer.ggml.model` is "llama") has no merges, only a score
for each token: the rank of the merge that forms it. mistral.rs 0.9.5 takes the scores for log-probabilities
and chooses the tokens with the largest sum. "Once upon" becomes " On", "ce", " up", "on", which the model
never saw in training, and every text lacks its first token. A tokenizer.json with the same tokens beside the
file takes precedence (gguf_tokenizer.rs, validate_external_gguf_tokenizer).

The merges are those that llama.cpp computes: all pairs of tokens whose concatenation is a token, ordered by
that token's score.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from spnl_tui.errors import ModelFileError
from spnl_tui.models.files.gguf import file_source
from spnl_tui.models.files.gguf_header import SCALARS, HeaderReader, Value

_SPACE = "▁"
_NORMAL, _USER_DEFINED, _UNUSED, _BYTE = 1, 4, 5, 6
_LONGEST = 128
"""The most characters of a token for which merges are written; it can be split at each. Gemma's longest has
31."""
_LIST = struct.Struct("<IQ")
_LENGTH = struct.Struct("<Q")
_encode = json.JSONEncoder(ensure_ascii=False).encode


def write_tokenizer(file: Path, target: Path) -> bool:
    """Write the tokenizer of a GGUF, or of its first shard, to `target`.

    Return False and write nothing if mistral.rs needs no tokenizer.json, or if the file is damaged, which
    mistral.rs itself reports.
    """
    try:
        with file.open("rb") as stream:
            found = _read(stream, file)
    except (ModelFileError, OSError, ValueError, KeyError, struct.error):
        return False
    if found is None:
        return False
    with target.open("w", encoding="utf-8") as out:
        out.writelines(_json(found))
    return True


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    tokens: Sequence[str]
    scores: Sequence[float]
    kinds: Sequence[int]
    bos: int | None
    """The token at the beginning of every text."""
    unknown: int
    space_before: bool
    """True if the tokenizer adds a space before a text."""


def _read(stream: BinaryIO, file: Path) -> _Vocabulary | None:
    prefix = "tokenizer.ggml."
    reader = HeaderReader(file_source(file, stream))
    values: dict[str, Value] = {}
    for value in reader.values():
        if value.key == prefix + "model" and value.value != "llama":
            return None  # this holds for most models, and the long token lists come later in the file
        if value.key.startswith(prefix):
            values[value.key.removeprefix(prefix)] = value
    if "merges" in values or not {"model", "tokens", "scores"} <= values.keys():
        return None
    tokens = _texts(stream, values["tokens"])
    scores = _numbers(stream, values["scores"])
    kinds = _numbers(stream, values["token_type"]) if "token_type" in values else [_NORMAL] * len(tokens)
    if not len(tokens) == len(scores) == len(kinds) == len(set(tokens)):
        return None

    def number(key: str, default: int) -> int:
        value = values[key].value if key in values else default
        if not isinstance(value, int) or not 0 <= value < len(tokens):
            raise ValueError(key)
        return value

    # llama.cpp's default token ids for SentencePiece.
    bos = number("bos_token_id", 1) if number("add_bos_token", 1) else None
    return _Vocabulary(
        tokens, scores, kinds, bos, number("unknown_token_id", 0), bool(number("add_space_prefix", 1))
    )


def _texts(stream: BinaryIO, value: Value) -> list[str]:
    stream.seek(value.position + _LIST.size)
    texts = []
    for _ in range(value.count):
        (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
        texts.append(stream.read(length).decode())
    return texts


def _numbers(stream: BinaryIO, value: Value) -> Sequence[Any]:
    stream.seek(value.position)
    type, count = _LIST.unpack(stream.read(_LIST.size))
    item = SCALARS[type]
    return array(item.format[-1], stream.read(count * item.size))


def _json(found: _Vocabulary) -> Iterator[str]:
    """Yield tokenizer.json in pieces. As Python objects, Gemma's merges alone would take 100 MB."""
    encoded = [_encode(token) for token in found.tokens]
    parts = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(_added(found)),
        "normalizer": _normalizer(found.space_before),
        "pre_tokenizer": None,
        "post_processor": _post_processor(found),
        "decoder": _decoder(found.space_before),
    }
    yield json.dumps(parts, ensure_ascii=False)[:-1]
    yield ',"model":{"type":"BPE","fuse_unk":true,"byte_fallback":true,"unk_token":'
    yield encoded[found.unknown]
    yield ',"vocab":{'
    yield ",".join(f"{text}:{number}" for number, text in enumerate(encoded))
    yield '},"merges":['
    yield ",".join(f"[{encoded[left]},{encoded[right]}]" for left, right in _merges(found))
    yield "]}}"


def _merges(found: _Vocabulary) -> Iterator[tuple[int, int]]:
    """Yield the pairs of tokens to merge, by precedence."""
    numbers = {
        token: number
        for number, (token, kind) in enumerate(zip(found.tokens, found.kinds, strict=True))
        if kind == _NORMAL and len(token) <= _LONGEST
    }
    number_of = numbers.get
    for number in sorted(numbers.values(), key=found.scores.__getitem__, reverse=True):
        token = found.tokens[number]
        pairs = []
        for at in range(1, len(token)):
            right = number_of(token[at:])
            if right is not None and (left := number_of(token[:at])) is not None:
                pairs.append((left, right))
        pairs.sort()
        yield from pairs


def _added(found: _Vocabulary) -> Iterator[Mapping[str, Any]]:
    """Yield the tokens to match in a text before all others."""
    for number, (token, kind) in enumerate(zip(found.tokens, found.kinds, strict=True)):
        if kind not in (_NORMAL, _UNUSED, _BYTE) or number in (found.bos, found.unknown):
            yield {
                "id": number,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                # These tokens contain the mark for a space, which only normalized text has.
                "normalized": _SPACE in token and not found.space_before,
                "special": kind != _USER_DEFINED,
            }


def _normalizer(space_before: bool) -> Mapping[str, Any]:
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    if not space_before:
        return spaces
    return {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": _SPACE}, spaces]}


def _decoder(space_before: bool) -> Mapping[str, Any]:
    decoders: list[Mapping[str, Any]] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if space_before:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": decoders}


def _post_processor(found: _Vocabulary) -> Mapping[str, Any] | None:
    if found.bos is None:
        return None
    bos = found.tokens[found.bos]
    first = {"SpecialToken": {"id": bos, "type_id": 0}}
    one, other = ({"Sequence": {"id": name, "type_id": type}} for type, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [first, one],
        "pair": [first, one, other],
        "special_tokens": {bos: {"id": bos, "ids": [found.bos], "tokens": [bos]}},
    }
