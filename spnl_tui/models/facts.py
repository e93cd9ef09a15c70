"""The facts about a model that its files state. The readers in models/files produce them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from spnl_tui.models.vision import VisionFiles

Format = Literal["gguf", "safetensors"]
TensorRole = Literal["embedding", "output", "matrix", "experts", "vector"]


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """All tensors with the same role, type and row width."""

    role: TensorRole
    """"embedding" and "output" are the token matrices, "matrix" is any other with two dimensions, "experts"
    have three. "vector" are norms and biases, which are not quantized."""
    type: str
    """The type's name in ggml or safetensors, such as "Q4_K" or "BF16"; "type 99" if unknown."""
    row: int
    """Elements per row. Quantization blocks must divide this number."""
    count: int
    elements: int
    bytes: int

    def as_output(self) -> TensorGroup:
        """Return an embedding in its second role as the tied output matrix."""
        return replace(self, role="output")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model as its header describes it. A field is None if the header lacks it.

    Text has no control characters, except in the chat template, which is code that is only parsed.
    """

    format: Format
    architecture: str
    """GGUF: `general.architecture` ("llama"); safetensors: config.json's class ("LlamaForCausalLM")."""
    name: str | None
    basename: str | None
    """The family's name without size or version, if the header has it."""
    file_type: str | None
    """The file's quantization as the file names it, such as "Q4_K_M"."""
    file_bytes: int
    """The size of all shards in bytes."""
    parameters: int
    context_length: int | None
    """The number of tokens that the model was trained for."""
    layers: int | None
    heads: int | None
    kv_heads: int | None
    """KV heads of one layer; the largest number if layers differ."""
    kv_heads_total: int | None
    """KV heads of all layers together, which determine the size of the KV cache."""
    key_width: int | None
    """The number of elements of one head's key."""
    value_width: int | None
    embedding_width: int | None
    feed_forward_width: int | None
    experts: int
    experts_used: int
    sliding_window: int | None
    norm_epsilon: float | None
    rope_base: float | None
    vocabulary: int | None
    merges: int | None
    """The number of merges of a byte-pair tokenizer."""
    tensors: tuple[TensorGroup, ...]
    tokenizer: str | None
    """GGUF: "gpt2" or "llama"; safetensors: the tokenizer's file name."""
    pre_tokenizer: str | None
    """GGUF: the name of the rules that split text before byte-pair encoding, such as "llama-bpe"."""
    chat_template: str | None
    rope_scale: float | None = None
    """GGUF: the factor by which the rotary embedding is stretched for a longer context."""

    type: str | None = None
    """GGUF: `general.type`, which is "model" or, for example, "adapter", "mmproj" or "imatrix"."""
    base: str | None = None
    """GGUF: the original model's repository, as "owner/name"."""
    vision: VisionFiles | None = None
    """The model's vision files; None if it reads only text or this is unknown."""
    blind: str | None = None
    """Why a model made for images cannot read them here."""
    defect: str | None = None
    """GGUF: a contradiction between header and tensors, because of which loading must fail."""

    @property
    def bits_per_weight(self) -> float:
        """Stored bits per parameter, over all tensors. Other contents of the file, mostly the tokenizer, do
        not count."""
        return 8 * sum(group.bytes for group in self.tensors) / self.parameters if self.parameters else 0.0

    def outgrows_window(self, longest: int | None) -> bool:
        """Return True if a conversation can be longer than the attention window.

        `longest` is the most tokens of a conversation, None if unknown. On a CPU such a conversation must not
        continue from the prefix cache (runner/windows.py).
        """
        return self.sliding_window is not None and (longest is None or longest > self.sliding_window)

    def kv_cache_bytes(self, tokens: int, element_bytes: int) -> int | None:
        """Return the bytes of a KV cache for this many tokens: keys and values of all KV heads in all
        layers."""
        if self.kv_heads_total is None or self.key_width is None or self.value_width is None:
            return None
        return tokens * self.kv_heads_total * (self.key_width + self.value_width) * element_bytes


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean(text: str, limit: int) -> str:
    """Return text from a file as one line without characters that move the cursor or reorder text."""
    text = _CONTROLS.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
