"""Checks whether a GGUF has the tensors that its header declares, by names and shapes.

mistral.rs finds missing tensors only while it loads, and then fails with a technical error. Only
architectures whose layers are all alike are checked (their names are in llama.cpp, src/llama-arch.cpp and
src/llama-model.cpp). The time is proportional to the number of tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spnl_tui.models.facts import clean

_ALIKE = frozenset({
    "llama", "mistral3", "gemma", "gemma2", "gemma3", "phi2", "phi3", "qwen2", "qwen3", "qwen3moe",
    "starcoder2", "glm4", "smollm3", "gpt-oss",
})  # fmt: skip
_LAYER = re.compile(r"blk\.(\d{1,6})\.(.+)")
_EITHER = (
    ("attn_output.weight",),
    ("attn_q.weight", "attn_qkv.weight"),
    ("attn_k.weight", "attn_qkv.weight"),
    ("attn_v.weight", "attn_qkv.weight"),
    ("ffn_down.weight", "ffn_down_exps.weight", "ffn_down.0.weight"),
    ("ffn_up.weight", "ffn_up_exps.weight", "ffn_up.0.weight"),
)
"""The tensors that every layer must have, each with its alternatives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """The header's statements about tensors; None where it has none."""

    architecture: str
    layers: int | None
    width: int | None
    heads: int | None
    kv_heads: int | None
    key_width: int | None
    value_width: int | None
    feed_forward: int | None
    vocabulary: int | None
    by_layer: bool = False
    """True if heads or widths differ by layer, so that shapes cannot be checked."""


def find_defect(promise: Promise, tensors: Mapping[str, Sequence[int]]) -> str | None:
    """Return a description of a missing tensor or wrong shape; None if there is no defect.

    `tensors` maps names to shapes, beginning with the length of a row.
    """
    if promise.architecture not in _ALIKE or not promise.layers or not tensors:
        return None
    for name in ("token_embd.weight", "output_norm.weight"):
        if name not in tensors:
            return f"the tensor {name} is missing"
    layers: dict[int, set[str]] = {}
    for name in tensors:
        if match := _LAYER.fullmatch(name):
            layers.setdefault(int(match[1]), set()).add(match[2])
    for number in range(promise.layers):
        has = layers.get(number)
        if has is None:
            return f"layer {number} of {promise.layers} is missing"
        for forms in _EITHER:
            if not any(form in has for form in forms):
                return f"the tensor blk.{number}.{forms[0]} is missing"
        if number and (lost := {n for n in layers[0] - has if n.endswith("weight") and "rope" not in n}):
            return f"the tensor blk.{number}.{clean(min(lost), 60)} is missing"
    return None if promise.by_layer else _wrong_shape(promise, tensors)


def _wrong_shape(promise: Promise, tensors: Mapping[str, Sequence[int]]) -> str | None:
    def product(*factors: int | None) -> int | None:
        result = 1
        for factor in factors:
            if factor is None:
                return None
            result *= factor
        return result

    width, queries = promise.width, product(promise.heads, promise.key_width)
    expected: dict[str, tuple[int | None, ...]] = {
        "token_embd.weight": (width, promise.vocabulary),
        "output.weight": (width, promise.vocabulary),
        "output_norm.weight": (width,),
    }
    of_layer: dict[str, tuple[int | None, ...]] = {
        "attn_norm.weight": (width,),
        "attn_q.weight": (width, queries),
        "attn_k.weight": (width, product(promise.kv_heads, promise.key_width)),
        "attn_v.weight": (width, product(promise.kv_heads, promise.value_width)),
        "attn_output.weight": (product(promise.heads, promise.value_width), width),
        "ffn_norm.weight": (width,),
        "ffn_down.weight": (promise.feed_forward, width),
    }
    for name, shape in tensors.items():
        match = _LAYER.fullmatch(name)
        wanted = of_layer.get(match[2]) if match else expected.get(name)
        if wanted is None:
            continue
        # Vocabularies may be padded, so extra rows are fine.
        padded = name in ("token_embd.weight", "output.weight")
        fits = len(shape) == len(wanted) and all(
            told is None or told == has or (padded and index == 1 and has >= told)
            for index, (has, told) in enumerate(zip(shape, wanted, strict=True))
        )
        if not fits:
            has = " × ".join(str(size) for size in shape)
            told = " × ".join("?" if size is None else str(size) for size in wanted)
            return f"the tensor {name} has the shape {has} instead of {told}, which the header declares"
    return None
