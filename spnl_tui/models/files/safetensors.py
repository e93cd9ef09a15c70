"""Reads the facts of a safetensors model from config.json and the headers of its weight files.

The format is Hugging Face's: the header's length in eight bytes, a JSON header with the type and shape of
every tensor, then the data.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spnl_tui.errors import ModelFileError, cause_of
from spnl_tui.models.facts import ModelFacts, TensorGroup, TensorRole, clean

MAX_HEADER_BYTES = 16 << 20
_MAX_JSON = 16 << 20
_BYTES: Mapping[str, float] = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F4": 0.5,
    "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
_HINT = "Pull or copy the directory again."


def read_directory_facts(directory: Path) -> ModelFacts:
    """Return the facts of the safetensors model in this directory.

    Raises:
        ModelFileError: config.json or a weight file is missing, cannot be read or is damaged.
    """
    config = _read_json(directory / "config.json")
    # Vision and audio models have the language model's values one level down.
    nested = config.get("text_config")
    text: dict[str, Any] = nested if isinstance(nested, dict) else config
    files = sorted(directory.glob("*.safetensors"))
    if not files:
        raise ModelFileError("No weights", f"{directory} has a config.json but no *.safetensors.", _HINT)
    _check_index(directory)
    groups: dict[tuple[TensorRole, str, int], list[int]] = {}
    for file in files:
        _read_header(file, groups)

    def number(*keys: str) -> int | None:
        for key in keys:
            value = text.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1 << 31:
                return value
        return None

    layers, heads = number("num_hidden_layers", "n_layer"), number("num_attention_heads", "n_head")
    width = number("hidden_size", "n_embd")
    kv_heads = number("num_key_value_heads")
    kv_heads = heads if kv_heads is None else kv_heads
    head_width = number("head_dim") or (width // heads if width and heads else None)
    architectures = config.get("architectures")
    architecture = (
        architectures[0] if isinstance(architectures, list) and architectures else config.get("model_type")
    )
    quantization = config.get("quantization_config")
    return ModelFacts(
        format="safetensors",
        architecture=clean(str(architecture or "unknown"), 60),
        name=None,
        basename=None,
        file_type=_file_type(quantization, groups),
        file_bytes=sum(file.stat().st_size for file in files),
        parameters=sum(elements for _, elements, _ in groups.values()),
        context_length=number("max_position_embeddings", "n_positions"),
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        kv_heads_total=None if layers is None or kv_heads is None else layers * kv_heads,
        key_width=head_width,
        value_width=head_width,
        embedding_width=width,
        feed_forward_width=number("intermediate_size", "n_inner"),
        experts=number("num_local_experts", "num_experts", "n_routed_experts") or 0,
        experts_used=number("num_experts_per_tok") or 0,
        sliding_window=number("sliding_window") if text.get("use_sliding_window", True) else None,
        norm_epsilon=None,
        rope_base=None,
        vocabulary=number("vocab_size"),
        merges=None,
        tensors=tuple(
            TensorGroup(role, label, row, count, elements, stored)
            for (role, label, row), (count, elements, stored) in sorted(groups.items())
        ),
        tokenizer=next((n for n in ("tokenizer.json", "tekken.json") if (directory / n).is_file()), None),
        pre_tokenizer=None,
        chat_template=_chat_template(directory),
    )


def _file_type(quantization: object, groups: Mapping[tuple[TensorRole, str, int], list[int]]) -> str | None:
    if isinstance(quantization, dict) and isinstance(quantization.get("quant_method"), str):
        return clean(quantization["quant_method"], 30)
    by_type: Counter[str] = Counter()
    for (_, label, _), (_, _, stored) in groups.items():
        by_type[label] += stored
    return by_type.most_common(1)[0][0] if by_type else None


def _check_index(directory: Path) -> None:
    index = directory / "model.safetensors.index.json"
    if not index.is_file():
        return
    names = _read_json(index).get("weight_map")
    wanted = {name for name in names.values() if isinstance(name, str)} if isinstance(names, dict) else set()
    missing = sorted(name for name in wanted if not (directory / name).is_file())
    if missing:
        raise ModelFileError(
            "Shards are missing",
            f"{directory} lacks {clean(', '.join(missing), 160)}.",
            _HINT,
        )


def _read_header(file: Path, groups: dict[tuple[TensorRole, str, int], list[int]]) -> None:
    def damaged(why: str) -> ModelFileError:
        return ModelFileError("The safetensors header is damaged", f"{file}: {why}.", _HINT)

    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > size - 8:
                raise ModelFileError(
                    "The safetensors file is cut short", f"{file} has {size:,} bytes.", _HINT
                )
            if length > MAX_HEADER_BYTES:
                raise damaged(f"it claims {length:,} bytes")
            header = json.loads(stream.read(length))
    except OSError as error:
        raise ModelFileError("The model file cannot be read", f"{file}: {cause_of(error)}.", _HINT) from error
    except (ValueError, RecursionError) as error:
        raise damaged("it is not JSON") from error
    if not isinstance(header, dict):
        raise damaged("it is not a table of tensors")
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        try:
            label, shape, (_, end) = (
                str(tensor["dtype"]),
                [int(n) for n in tensor["shape"]],
                tensor["data_offsets"],
            )
            elements = math.prod(shape)
            end = int(end)
        except (TypeError, KeyError, ValueError) as error:
            raise damaged(f"tensor {clean(name, 60)} is described wrongly") from error
        if not 0 <= elements <= 16 * size or len(shape) > 8:
            raise damaged(f"tensor {clean(name, 60)} has an impossible shape")
        if 8 + length + end > size:
            raise ModelFileError("The safetensors file is cut short", f"{file} has {size:,} bytes.", _HINT)
        key = (_role(name, len(shape)), clean(label, 20), shape[-1] if shape else 1)
        group = groups.setdefault(key, [0, 0, 0])
        group[0] += 1
        group[1] += elements
        group[2] += int(elements * _BYTES.get(label, 0))


def _role(name: str, dimensions: int) -> TensorRole:
    if name.endswith(("embed_tokens.weight", "wte.weight", "embedding.weight")):
        return "embedding"
    if name.endswith("lm_head.weight"):
        return "output"
    if ".experts." in name:
        return "experts"
    return "matrix" if dimensions == 2 else "experts" if dimensions > 2 else "vector"


def _chat_template(directory: Path) -> str | None:
    """Return the chat template from its own file, or else from tokenizer_config.json; None if there is
    none."""
    jinja = directory / "chat_template.jinja"
    if jinja.is_file() and jinja.stat().st_size <= 1 << 20:
        return jinja.read_text("utf-8", "replace") or None
    for name in ("chat_template.json", "tokenizer_config.json"):
        if (directory / name).is_file():
            template = _read_json(directory / name).get("chat_template")
            if isinstance(template, list):
                # If there are several named templates, "default" is the one for chat.
                named = {t.get("name"): t.get("template") for t in template if isinstance(t, dict)}
                template = named.get("default")
            if isinstance(template, str) and template.strip():
                return template
    return None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_JSON:
            raise ModelFileError("The model directory is damaged", f"{file} is too large.", _HINT)
        value = json.loads(file.read_bytes())
    except OSError as error:
        raise ModelFileError("The model file cannot be read", f"{file}: {cause_of(error)}.", _HINT) from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError("The model directory is damaged", f"{file} is not JSON.", _HINT) from error
    if not isinstance(value, dict):
        raise ModelFileError("The model directory is damaged", f"{file} is not a JSON object.", _HINT)
    return value
