"""Estimates the memory of a loaded model from its tensors. The rules were measured for each type.

On a CPU mistral.rs copies every tensor out of the mapped file, widens floats to 32 bits, and makes a second,
rearranged copy of types with a fast kernel for it (support.KERNELS). The mapped file does not count, because
the system reclaims it when memory is short. docs/models.md compares the estimates with real loads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spnl_tui.models.facts import ModelFacts, TensorGroup
from spnl_tui.models.machine import Machine
from spnl_tui.models.support import KERNELS, Kernel, after_in_situ

_PROGRAM = 24_000_000
"""Bytes of a runner without a model. RUST_BACKTRACE=1 would add 35 MB of symbols."""
_PER_TOKEN = 1050
"""Bytes per token of the vocabulary for the tokenizer, metadata and the grammar engine."""
_PER_MERGE = 350
_MERGES_PER_TOKEN = 2
"""Merges per token of a SentencePiece vocabulary, measured as 1.9 to 2. The header lacks them
(gguf_tokenizer.py)."""
_BUFFERS = 15_000_000
"""Bytes of buffers for any prompt and model."""
_PASS = 512
"""Tokens of a prompt that are computed at once."""
_PAIR_BYTES = 10
"""Bytes of the masks for each pair of tokens, if a prompt is read at once."""
_CACHE_STEP = 512
"""mistral.rs grows a KV cache by this many tokens."""
_VISION = 2
"""The growth of a projector when it is widened from 16 to 32 bits."""
_IMAGE_BYTES = 250_000_000
"""A rough estimate of the buffers while one image of 1,024 pixels is read."""
_GPU_PROGRAM = 700_000_000
"""Bytes of mistral.rs's kernels and buffers on a graphics processor; a guess, not measured."""
_GPU_RESERVE = 512 << 20
"""Bytes that mistral.rs leaves free on a graphics processor (mistralrs-core/src/paged_attention/mod.rs,
GPU_MIN_RESERVE_BYTES)."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """The memory of a runner in bytes, without mapped files."""

    weights: int
    """Weights after any in-situ quantization, including the copies for fast kernels."""
    overhead: int
    """The program and the tokenizer."""
    kv_cache: int | None
    """Keys and values of the context, twice: for the request and for the prefix cache. None if the header
    lacks the sizes."""
    loading: int
    """The peak while loading, without the KV cache. It is an upper bound, because in-situ quantization lags
    behind reading by an unknown amount."""
    working: int = 0
    """Buffers while a prompt is read: for the whole context, unless prompts are read in steps."""

    @property
    def total(self) -> int:
        """The memory while a prompt is read that fills the context."""
        return self.weights + self.overhead + self.working + (self.kv_cache or 0)

    @property
    def peak(self) -> int:
        """The free memory that is needed to load the model and serve its context."""
        return max(self.total, self.loading)


def estimate_memory(
    facts: ModelFacts,
    in_situ: str | None,
    context: int,
    *,
    kv_element_bytes: int = 4,
    prefix_cache: bool = True,
    in_steps: bool = True,
    vnni: bool = True,
) -> MemoryEstimate:
    """Return the memory of this model on a CPU, with this in-situ quantization and context in tokens.

    `in_steps` is True if long prompts are read in steps (engine/mistralrs/cache/prefill.py). `vnni`: see
    Machine.
    """
    tied = all(group.role != "output" for group in facts.tensors)
    weights = stored = plain = 0.0
    largest = 0
    for group in facts.tensors:
        kept = group.elements * _kernel(group, group.type).bytes_per_element
        stored += kept
        if group.role != "embedding":
            weights += _resident(group, in_situ, vnni)
        else:
            weights += kept
            if tied:
                # A tied matrix is stored once, but its rearranged copy is extra.
                output = group.as_output()
                weights += _resident(output, in_situ, vnni) - (
                    0 if _is_requantized(output, in_situ) else kept
                )
        if _is_requantized(group, in_situ) or (
            tied and group.role == "embedding" and _is_requantized(group.as_output(), in_situ)
        ):
            plain += (
                group.elements * _kernel(group, after_in_situ(group.as_output(), in_situ)).bytes_per_element
            )
            largest = max(largest, 4 * group.elements // group.count)
    merges = facts.merges
    if merges is None and facts.tokenizer == "llama":
        merges = _MERGES_PER_TOKEN * (facts.vocabulary or 0)
    overhead = _PROGRAM + _PER_TOKEN * (facts.vocabulary or 0) + _PER_MERGE * (merges or 0)
    loading = weights + overhead
    if in_situ is not None:
        loading = max(loading, stored + plain + largest + overhead)
    kv_cache = facts.kv_cache_bytes(math.ceil(context / _CACHE_STEP) * _CACHE_STEP, kv_element_bytes)
    if kv_cache is not None and prefix_cache:
        kv_cache *= 2
    working = _working(facts, min(context, _PASS) if in_steps else context)
    if not in_steps:
        working += _PAIR_BYTES * context**2
    if facts.vision is not None:
        weights += _VISION * facts.vision.projector_bytes
        loading += _VISION * facts.vision.projector_bytes
        working += _IMAGE_BYTES
    return MemoryEstimate(int(weights), overhead, kv_cache, int(loading), working)


def memory_on(machine: Machine, facts: ModelFacts, in_situ: str | None, context: int) -> MemoryEstimate:
    """Return the memory of this model on this machine's processor."""
    outgrown = facts.outgrows_window(context)
    chats = facts.format == "gguf" and facts.chat_template is not None
    return estimate_memory(
        facts,
        in_situ,
        context,
        kv_element_bytes=machine.kv_element_bytes,
        prefix_cache=chats or not outgrown,
        in_steps=not outgrown,
        vnni=machine.vnni,
    )


def memory_on_gpu(facts: ModelFacts, in_situ: str | None, tokens: int) -> MemoryEstimate:
    """Return the memory on a graphics processor. `tokens` counts all conversations together.

    Paged attention reserves memory for their keys and values at once, and keeps earlier prompts in it for
    reuse.
    """
    weights = sum(_on_gpu(group, in_situ) for group in facts.tensors)
    overhead = _GPU_PROGRAM + _GPU_RESERVE
    return MemoryEstimate(weights, overhead, facts.kv_cache_bytes(tokens, 2), weights + overhead)


def _on_gpu(group: TensorGroup, in_situ: str | None) -> int:
    """Return the bytes of these tensors on a graphics processor, where no kernel needs a second copy."""
    type = after_in_situ(group, in_situ)
    return group.bytes if type == group.type else int(group.elements * KERNELS[type].bytes_per_element)


def _working(facts: ModelFacts, tokens: int) -> int:
    """Return the bytes for computing this many tokens of a prompt at once: 32-bit activations, and experts.

    All experts of a tensor are widened to 32 bits, and those that a token uses are copied for each token.
    Only MXFP4 is used as stored, with one copied tensor (mistralrs-quant/src/mxfp4/mod.rs).
    """
    longest_row = max((group.row for group in facts.tensors if group.role == "matrix"), default=0)
    activations = 4 * tokens * (3 * longest_row + 2 * (facts.embedding_width or 0))
    experts = [group for group in facts.tensors if group.role == "experts"]
    stored = max((group.bytes // group.count for group in experts if group.type == "MXFP4"), default=0)
    elements = sum(group.elements for group in experts if group.type != "MXFP4")
    copies = 0
    if elements and facts.layers and facts.experts:
        one = 4 * elements // (3 * facts.layers * facts.experts)  # each expert has three matrices per layer
        copies = one * (facts.experts + tokens * facts.experts_used)
    return _BUFFERS + activations + max(stored, copies)


def _is_requantized(group: TensorGroup, in_situ: str | None) -> bool:
    """Return False if the tensors already have the type (mistralrs-quant/src/gguf/mod.rs, apply_isq)."""
    return after_in_situ(group, in_situ) != group.type


def _resident(group: TensorGroup, in_situ: str | None, vnni: bool) -> float:
    """Return the bytes of these tensors once loaded, including any second copy."""
    type = after_in_situ(group, in_situ)
    kernel = _kernel(group, type)
    # An output matrix is multiplied by only one row, for which Q6_K needs no second copy.
    spared = (group.role == "output" and type == "Q6_K") or (type == "Q8_0" and not vnni)
    rearranged = 0.0 if spared or group.role == "experts" or group.row % 256 else kernel.repacked
    return group.elements * (kernel.bytes_per_element + rearranged)


def _kernel(group: TensorGroup, type: str) -> Kernel:
    if group.role == "vector":
        return KERNELS["F32"]
    # Types that mistral.rs cannot load as stored count with their stored size.
    return KERNELS.get(type) or Kernel(group.bytes / group.elements, 1.0, 1.0)
