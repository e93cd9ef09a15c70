"""The real model with other names for its special tokens, and synthetic models of a template's family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gguf import GGUFReader, GGUFValueType, GGUFWriter

from spnl_tui.models.files.gguf_noise import byte_letters
from tests.support.gguf_maker import make_gguf
from tests.support.template_families import Family


def rename_tokens(source: Path, target: Path, names: Mapping[str, str], **values: Any) -> Path:
    """Copy a GGUF with tokens renamed, in its template as well, and with other `tokenizer.ggml` values."""
    reader = GGUFReader(source)
    writer = GGUFWriter(target, "llama")
    keys = {f"tokenizer.ggml.{key}": value for key, value in values.items()}
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture" or key in keys:
            continue
        value = field.contents()
        if key == "tokenizer.ggml.tokens":
            value = [names.get(token, token) for token in value]
        elif key == "tokenizer.chat_template":
            for old, new in names.items():
                value = value.replace(old, new)
        array = field.types[0] == GGUFValueType.ARRAY
        writer.add_key_value(key, value, field.types[0], sub_type=field.types[-1] if array else None)
    for key, value in keys.items():
        writer.add_key_value(key, value, GGUFValueType.UINT32)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def family_gguf(target: Path, family: Family) -> tuple[Path, Mapping[str, int]]:
    """Write a synthetic model of this family. Return its path, and its special tokens by their number."""
    special = list(dict.fromkeys(["<unk>", *family.tokens.ids, *family.thinks]))
    tokens = [*special, *byte_letters()]
    tokens += [f"tok{number}" for number in range(512 - 1 - len(tokens))] + ["th"]
    kinds = [3] * len(special) + [1] * (len(tokens) - len(special))
    numbers = {token: number for number, token in enumerate(special)}
    prefix = "tokenizer.ggml."
    metadata = {
        f"{prefix}tokens": tokens,
        f"{prefix}token_type": [("i32", kind) for kind in kinds],
        f"{prefix}bos_token_id": numbers.get(family.bos, 0),
        f"{prefix}eos_token_id": numbers[family.eos],
    }
    return make_gguf(target, template=family.template, metadata=metadata), numbers
