"""What is known of a model before it is loaded. Pure data; gguf.py and safetensors.py make it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

Format = Literal["gguf", "safetensors"]
TensorRole = Literal["embedding", "output", "matrix", "experts", "vector"]


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """Tensors of one role, type and row width, taken together."""

    role: TensorRole
    """"embedding" and "output" are the token matrices, "matrix" is any other with two dimensions,
    "experts" have three, "vector" is what stays unquantized: norms and biases."""
    type: str
    """As ggml or safetensors name it: "Q4_K", "BF16"; "type 99" if unknown."""
    row: int
    """Elements of a row, the dimension that quantization blocks must divide."""
    count: int
    elements: int
    bytes: int

    def as_output(self) -> TensorGroup:
        """An embedding in its second part, as the output matrix that is tied to it."""
        return replace(self, role="output")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model as its header describes it. None is what the header does not say.

    Text is free of control characters (but for the chat template, which is code and only ever parsed).
    """

    format: Format
    architecture: str
    """GGUF: `general.architecture` ("llama"); safetensors: config.json's class ("LlamaForCausalLM")."""
    name: str | None
    basename: str | None
    """Of the family, without size or version, where the header tells it apart."""
    file_type: str | None
    """What the file as a whole was quantized to, by its own word: "Q4_K_M"."""
    file_bytes: int
    """All shards."""
    parameters: int
    context_length: int | None
    """Tokens the model was trained for."""
    layers: int | None
    heads: int | None
    kv_heads: int | None
    """Of one layer; the largest, where layers differ."""
    kv_heads_total: int | None
    """Of all layers together: what a KV cache is proportional to."""
    key_width: int | None
    """Elements of one head's key."""
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
    """Of a byte-pair tokenizer."""
    tensors: tuple[TensorGroup, ...]
    tokenizer: str | None
    """GGUF: "gpt2" or "llama"; safetensors: the tokenizer's file name."""
    pre_tokenizer: str | None
    """GGUF: which regular expressions split text before byte-pair encoding: "llama-bpe"."""
    chat_template: str | None
    rope_scale: float | None = None
    """GGUF: by which factor the rotary embedding is stretched for a longer context."""

    @property
    def type_shares(self) -> dict[str, float]:
        """Share of the tensor bytes by type, largest first."""
        total = sum(group.bytes for group in self.tensors) or 1
        shares: dict[str, float] = {}
        for group in self.tensors:
            shares[group.type] = shares.get(group.type, 0.0) + group.bytes / total
        return dict(sorted(shares.items(), key=lambda item: -item[1]))

    @property
    def bits_per_weight(self) -> float:
        """Stored bits for each parameter, over all tensors: what the file takes besides, mostly for the
        tokenizer, is none of it."""
        return 8 * sum(group.bytes for group in self.tensors) / self.parameters if self.parameters else 0.0

    def outgrows_window(self, longest: int | None) -> bool:
        """Whether a conversation of so many tokens, if that is known, is longer than a window of attention.

        On a CPU it must not go on from the prefix cache then: engine/windows.py says why.
        """
        return self.sliding_window is not None and (longest is None or longest > self.sliding_window)

    def kv_cache_bytes(self, tokens: int, element_bytes: int) -> int | None:
        """Memory of a KV cache that holds `tokens`: keys and values of every KV head of every layer."""
        if self.kv_heads_total is None or self.key_width is None or self.value_width is None:
            return None
        return tokens * self.kv_heads_total * (self.key_width + self.value_width) * element_bytes


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean(text: str, limit: int) -> str:
    """`text` from a file as one line that cannot move the cursor or reorder what is around it."""
    text = _CONTROLS.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
