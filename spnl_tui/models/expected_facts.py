"""Estimates a quantization's header from that of another quantization of the same model.

A repository holds a model in dozens of quantizations, and each header takes megabytes to fetch, mostly for
the tokenizer. Only the tensor types differ. They follow from the label by llama.cpp's rules
(src/llama-quant.cpp there) and from the file's size. This is good enough for a first verdict; the real header
decides later. Some labels, such as unsloth's dynamic quantizations (UD-…), follow no rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spnl_tui.models.facts import ModelFacts, TensorGroup, TensorRole
from spnl_tui.models.files.gguf_header import TENSOR_TYPES
from spnl_tui.models.quantization import Quantization

_LAYOUT: Mapping[str, tuple[int, int]] = {name: (block, size) for name, block, size in TENSOR_TYPES.values()}
"""Elements and bytes of each type's blocks."""

_FINER: Mapping[str, str] = {
    "IQ1_S": "IQ2_XXS", "IQ1_M": "IQ2_XXS", "IQ2_XXS": "Q2_K", "IQ2_XS": "Q2_K", "IQ2_S": "IQ3_S",
    "Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "IQ3_S": "Q4_K", "Q3_K": "Q4_K", "IQ4_XS": "Q5_K", "IQ4_NL": "Q5_K",
    "Q4_0": "Q4_1", "Q4_K": "Q6_K", "Q5_0": "Q5_1", "Q5_K": "Q6_K", "Q6_K": "Q8_0",
}  # fmt: skip
"""The types of the most important matrices in mixed quantizations (_M, _L)."""

_NARROW: Mapping[str, str] = {
    "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0", "TQ1_0": "Q4_0", "TQ2_0": "Q4_0",
}  # fmt: skip
"""The replacement for a type whose blocks do not divide the rows; IQ4_NL for types not listed."""


def expected_facts(known: ModelFacts, quantization: Quantization) -> ModelFacts | None:
    """Estimate the facts of this quantization from those of another one of the same model.

    Return None if its label names no tensor type.
    """
    main = _main_type(quantization.kind)
    if main is None or known.format != "gguf":
        return None
    # A tied embedding is also the output matrix, and gets that matrix's type.
    last: TensorRole = "output" if any(group.role == "output" for group in known.tensors) else "embedding"
    plain = [_as_type(group, _type_of(group, main, last)) for group in known.tensors]
    size = quantization.size_bytes
    if size is not None and main in _FINER:
        # The file size shows how much of the model has the finer type.
        header = known.file_bytes - sum(group.bytes for group in known.tensors)
        plain = _refine(plain, main, size - header)
    return replace(
        known,
        file_type=quantization.kind,
        file_bytes=sum(group.bytes for group in plain) if size is None else size,
        tensors=tuple(plain),
    )


def _main_type(kind: str) -> str | None:
    """Return the tensor type that a quantization label names; None if it names none."""
    label = kind.removeprefix("UD-").partition("-")[0]
    label = {"MXFP4_MOE": "MXFP4", "IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S"}.get(label, label)
    while label and label not in _LAYOUT:
        label = label.rpartition("_")[0]
    return label or None


def _type_of(group: TensorGroup, main: str, last: TensorRole) -> str:
    if group.role == "vector" or (group.type == "F32" and group.elements < 1 << 20):
        return group.type  # norms and expert routers stay as they are
    if group.type == "MXFP4" and group.role == "experts":
        return group.type  # gpt-oss was trained in this type, so its experts keep it in every quantization
    if main == "MXFP4" and group.role != "experts":
        return "Q8_0"
    if group.role == last and _LAYOUT[main][0] > 1 and main != "Q8_0":
        return _fitting("Q6_K", group.row)
    return _fitting(main, group.row)


def _fitting(type: str, row: int) -> str:
    return type if row % _LAYOUT[type][0] == 0 else _NARROW.get(type, "IQ4_NL")


def _as_type(group: TensorGroup, type: str) -> TensorGroup:
    block, size = _LAYOUT.get(type, (1, 4))
    return replace(group, type=type, bytes=group.elements // block * size)


def _refine(groups: list[TensorGroup], main: str, wanted_bytes: int) -> list[TensorGroup]:
    """Move a share of the matrices to the finer type, so that all have this size in bytes."""
    mixed = [group for group in groups if group.role in ("matrix", "experts", "embedding")]
    mixed = [group for group in mixed if group.type == main]
    finer = [_as_type(group, _fitting(_FINER[main], group.row)) for group in mixed]
    room = sum(group.bytes for group in finer) - sum(group.bytes for group in mixed)
    if room <= 0:
        return groups
    share = (wanted_bytes - sum(group.bytes for group in groups)) / room
    if share < 0.02:
        return groups
    share = min(share, 1.0)
    refined = [group for group in groups if group not in mixed]
    for coarse, fine in zip(mixed, finer, strict=True):
        refined += [part for part in (_part(coarse, 1 - share), _part(fine, share)) if part.elements]
    return refined


def _part(group: TensorGroup, share: float) -> TensorGroup:
    """Return this share of the group, rounded to whole rows."""
    rows = group.elements // group.row
    kept = round(rows * share)
    return replace(
        group,
        count=max(1, round(group.count * share)),
        elements=kept * group.row,
        bytes=group.bytes // rows * kept if rows else 0,
    )
