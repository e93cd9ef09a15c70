"""What another quantization of a model holds, worked out from one header, its label and its size.

A repository holds the same tensors many times over, in other types. Which type a label gives to which tensor
is llama.cpp's `llama_tensor_get_type` (src/llama-quant.cpp), in short: most matrices get the label's own type,
some a finer one, the output matrix Q6_K; rows that are no multiple of 256 get a simpler type. How many get the
finer type differs by architecture and version, but follows from the size of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from spnl_tui.models.facts import ModelFacts, TensorGroup
from spnl_tui.models.gguf import TENSOR_TYPES

_FINER = {
    "Q2_K": "Q4_K",
    "Q3_K": "Q5_K",
    "Q4_K": "Q6_K",
    "Q5_K": "Q6_K",
    "Q6_K": "Q8_0",
    "Q4_0": "Q4_1",
    "Q4_1": "Q5_1",
    "Q5_0": "Q5_1",
    "Q5_1": "Q8_0",
    "Q8_0": "F16",
    "F16": "F32",
    "BF16": "F32",
}
"""The type that a label mixes into its own."""
_NARROW = {"Q2_K": "IQ4_NL", "Q3_K": "IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""What rows get that are no multiple of 256 (tensor_type_fallback there)."""
_ALIKE = {"IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S"}
"""Labels of mixes that have no tensor type of their own."""
_MAIN = re.compile(r"(?:UD-)?(Q\d_[K01]|B?F16|F32|MXFP4|NVFP4|IQ\d_[A-Z]+|TQ\d_0)(?:_|$)")
_FLOATS = ("F32", "F16", "BF16")
_FEW = 0.02
"""A share of weights below which float matrices, like an expert router's, stay floats in every file."""
_OFF = 0.12
"""How far the sizes may differ before the file must hold something else."""
_BITS = {name: 8 * size / block for name, block, size in TENSOR_TYPES.values()}


def may_surprise(label: str) -> bool:
    """Whether tensors of types that the label does not tell of are usual: unsloth's dynamic mixes."""
    return label.startswith("UD-")


def as_quantized(facts: ModelFacts, label: str, size_bytes: int | None) -> ModelFacts | None:
    """The model of this header as it would be in a GGUF with this label and of this size; an estimate.

    None if the label does not say what the file holds, or its size says that it is not this model's.
    """
    match = _MAIN.match(label)
    main = _ALIKE.get(match[1], match[1]) if match else ""
    if main not in _BITS or facts.format != "gguf" or not facts.parameters:
        return None
    whole = sum(group.elements for group in facts.tensors if group.role in ("matrix", "experts")) or 1
    header = max(0, facts.file_bytes - sum(group.bytes for group in facts.tensors))
    kept: list[TensorGroup] = []
    mixed: list[TensorGroup] = []
    for group in facts.tensors:
        if group.role == "vector" or (group.type in _FLOATS and group.elements < _FEW * whole):
            kept.append(group)
        elif group.role in ("matrix", "experts"):
            mixed.append(group)
        else:
            kept.append(_of_type(group, _end_type(group, main, label, tied=_is_tied(facts))))
    room = None if size_bytes is None else size_bytes - header - sum(group.bytes for group in kept)
    groups = (*kept, *_mix(mixed, main, room))
    total = header + sum(group.bytes for group in groups)
    if size_bytes is not None and abs(total - size_bytes) > _OFF * size_bytes and _is_known(main):
        return None
    return replace(facts, file_type=label, file_bytes=size_bytes or total, tensors=groups)


def _is_tied(facts: ModelFacts) -> bool:
    return all(group.role != "output" for group in facts.tensors)


def _is_known(main: str) -> bool:
    """Whether the types that this label mixes are known: not those of importance and 4-bit float formats."""
    return main in _FINER or main == "F32"


def _end_type(group: TensorGroup, main: str, label: str, *, tied: bool) -> str:
    """The type of the embedding or the output matrix."""
    if main in _FLOATS or main == "Q8_0":
        return main
    if re.search(r"_X?L$", label) and not label.startswith(("UD-", "Q2_K_L", "Q3_K_L")):
        return "Q8_0"  # what the L of Q4_K_L means
    if group.role == "output" or tied:
        return _fitting("Q6_K", group.row)
    return _fitting(main if _is_known(main) else "Q4_K", group.row)


def _mix(groups: list[TensorGroup], main: str, room: int | None) -> Iterator[TensorGroup]:
    """The matrices in the label's own type and the finer one, in such parts that they fill the room."""
    if main in ("MXFP4", "NVFP4"):
        # Of mixtures of experts, the only ones that are stored so, it is the experts.
        for group in groups:
            yield _of_type(group, main if group.role == "experts" else "Q8_0")
        return
    finer = _FINER.get(main)
    coarse = sum(_bits(main, group) * group.elements for group in groups) / 8
    fine = sum(_bits(finer or main, group) * group.elements for group in groups) / 8
    share = 0.0
    if finer is not None and fine > coarse:
        share = 0.25 if room is None else min(1.0, max(0.0, (room - coarse) / (fine - coarse)))
    if share < 0.01:
        share = 0.0
    for group in groups:
        part = int(group.elements * share)
        yield _of_type(group, _fitting(main, group.row), group.elements - part)
        if part and finer is not None:
            yield _of_type(group, _fitting(finer, group.row), part)


def _fitting(type: str, row: int) -> str:
    return _NARROW.get(type, type) if row % 256 else type


def _bits(type: str, group: TensorGroup) -> float:
    return _BITS[_fitting(type, group.row)]


def _of_type(group: TensorGroup, type: str, elements: int | None = None) -> TensorGroup:
    elements = group.elements if elements is None else elements
    return replace(group, type=type, elements=elements, bytes=int(elements * _BITS[type] / 8))
