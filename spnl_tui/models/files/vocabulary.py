"""Reads a model's special tokens: those that control it, and those that end its turn.

GGUF: `tokenizer.ggml.token_type` gives the kind of each token (llama.h, enum llama_token_type), and
`eos_token_id`, `eot_token_id` (of a turn) and `eom_token_id` (of a message) name ends. Safetensors:
tokenizer.json, tokenizer_config.json and generation_config.json.
"""

from __future__ import annotations

import contextlib
import json
import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spnl_tui.errors import ModelFileError
from spnl_tui.models.files.gguf import file_source
from spnl_tui.models.files.gguf_header import SCALARS, HeaderReader, Value

_CONTROL, _USER_DEFINED = 3, 4
_LIST = struct.Struct("<IQ")
_LENGTH = struct.Struct("<Q")
_PREFIX = "tokenizer.ggml."
_LARGEST_JSON = 64 << 20

_ENDS = frozenset({
    "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<EOT>",
    "<|end|>", "<|eot|>", "<|return|>", "<|call|>", "<|endofturn|>", "<|END_OF_TURN_TOKEN|>",
})  # fmt: skip
"""Control tokens that end a turn in every model that has them, declared or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """A model's special tokens."""

    ids: Mapping[str, int] = field(default_factory=dict)
    """The ids of all special tokens by text, including those that a text can contain."""
    control: frozenset[str] = frozenset()
    """Tokens that are never part of a text: by default, mistral.rs omits them from a reply."""
    ends: frozenset[str] = frozenset()
    """Tokens that end a turn, because the files declare them or because of their names."""
    named: Mapping[str, str] = field(default_factory=dict)
    """"bos_token", "eos_token" and "unk_token", as chat templates use them."""


def read_special_tokens(directory: Path, files: tuple[str, ...] = ()) -> SpecialTokens:
    """Return the special tokens of a GGUF, whose shards are `files`, or of a safetensors directory.

    Unreadable files are ignored, because the engine reports a damaged file when loading.
    """
    with contextlib.suppress(ModelFileError, OSError, ValueError, KeyError, struct.error):
        return _of_gguf(directory / files[0]) if files else _of_directory(directory)
    return SpecialTokens()


def _of_gguf(file: Path) -> SpecialTokens:
    values: dict[str, Value] = {}
    ends_at: dict[str, int] = {}
    with file.open("rb") as stream:
        reader = HeaderReader(file_source(file, stream))
        for value in reader.values():
            values[value.key.removeprefix(_PREFIX)] = value
            ends_at[value.key.removeprefix(_PREFIX)] = reader.position
        tokens, kinds = values["tokens"], array("b")
        if "token_type" in values:
            stream.seek(values["token_type"].position)
            type, count = _LIST.unpack(stream.read(_LIST.size))
            kinds = array(SCALARS[type].format[-1], stream.read(count * SCALARS[type].size))
        stream.seek(tokens.position + _LIST.size)
        data = stream.read(ends_at["tokens"] - tokens.position - _LIST.size)
    declared = {
        name: values[key].value
        for name, key in (
            ("bos_token", "bos_token_id"),
            ("eos_token", "eos_token_id"),
            ("unk_token", "unknown_token_id"),
            ("eot", "eot_token_id"),
            ("eom", "eom_token_id"),
        )
        if key in values and isinstance(values[key].value, int)
    }
    kept = set(declared.values())
    ids: dict[str, int] = {}
    control: set[str] = set()
    texts: dict[int, str] = {}
    for number, raw in enumerate(_texts(data, tokens.count)):
        kind = kinds[number] if number < len(kinds) else 0
        if kind in (_CONTROL, _USER_DEFINED) or number in kept:
            text = raw.decode("utf-8", "replace")
            texts[number] = text
            if kind == _CONTROL or number in kept - {declared.get("unk_token")}:
                control.add(text)
            ids[text] = number
    ends = {texts[declared[name]] for name in ("eos_token", "eot", "eom") if declared.get(name) in texts}
    return SpecialTokens(
        ids=ids,
        control=frozenset(control),
        ends=frozenset(ends | (_ENDS & control)),
        named={name: texts[number] for name, number in declared.items() if number in texts and "_" in name},
    )


def _texts(data: bytes, count: int) -> Iterator[bytes]:
    at, length = 0, _LENGTH.size
    for _ in range(count):
        (size,) = _LENGTH.unpack_from(data, at)
        at += length + size
        yield data[at - size : at]


def _of_directory(directory: Path) -> SpecialTokens:
    added = [
        each for each in _json(directory / "tokenizer.json").get("added_tokens", []) if isinstance(each, dict)
    ]
    ids = {str(each["content"]): int(each["id"]) for each in added}
    control = frozenset(str(each["content"]) for each in added if each.get("special"))
    config = _json(directory / "tokenizer_config.json")
    named = {
        name: text
        for name in ("bos_token", "eos_token", "unk_token")
        if (text := _text_of(config.get(name))) is not None
    }
    declared = _json(directory / "generation_config.json").get("eos_token_id")
    wanted = set(declared) if isinstance(declared, list) else {declared}
    ends = {text for text, number in ids.items() if number in wanted}
    return SpecialTokens(
        ids=ids,
        control=control,
        ends=frozenset(ends | {named[n] for n in ("eos_token",) if n in named} | (_ENDS & control)),
        named=named,
    )


def _text_of(token: object) -> str | None:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file() or file.stat().st_size > _LARGEST_JSON:
        return {}
    value = json.loads(file.read_bytes())
    return value if isinstance(value, dict) else {}
