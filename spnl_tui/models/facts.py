"""The facts of a model before it is loaded. Pure data, which gguf.py and safetensors.py read from files."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from spnl_tui.models.vision import VisionFiles

Format = Literal["gguf", "safetensors"]
TensorRole = Literal["embedding", "output", "matrix", "experts", "vector"]


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """Tensors of one role, type and row width, taken together."""

    role: TensorRole
    """"embedding" and "output" are the token matrices, "matrix" is any other with two dimensions,
    "experts" have three, "vector" stays unquantized: norms and biases."""
    type: str
    """The name of the type in ggml or safetensors: "Q4_K", "BF16"; "type 99" if unknown."""
    row: int
    """Elements of a row. Quantization blocks must divide it."""
    count: int
    elements: int
    bytes: int

    def as_output(self) -> TensorGroup:
        """Return an embedding in its second role, as the output matrix that is tied to it."""
        return replace(self, role="output")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model as its header describes it. A field is None if the header does not say.

    Text is free of control characters (but for the chat template, which is code and only ever parsed).
    """

    format: Format
    architecture: str
    """GGUF: `general.architecture` ("llama"); safetensors: config.json's class ("LlamaForCausalLM")."""
    name: str | None
    basename: str | None
    """The family's name, without size or version, where the header has it."""
    file_type: str | None
    """The quantization of the file as a whole, as it names itself: "Q4_K_M"."""
    file_bytes: int
    """The size of all shards."""
    parameters: int
    context_length: int | None
    """Tokens the model was trained for."""
    layers: int | None
    heads: int | None
    kv_heads: int | None
    """KV heads of one layer; the most, where layers differ."""
    kv_heads_total: int | None
    """KV heads of all layers together. The size of a KV cache is proportional to it."""
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
    """Merges of a byte-pair tokenizer."""
    tensors: tuple[TensorGroup, ...]
    tokenizer: str | None
    """GGUF: "gpt2" or "llama"; safetensors: the tokenizer's file name."""
    pre_tokenizer: str | None
    """GGUF: the name of the expressions that split text before byte-pair encoding, as "llama-bpe"."""
    chat_template: str | None
    rope_scale: float | None = None
    """GGUF: the factor by which the rotary embedding is stretched for a longer context."""

    type: str | None = None
    """GGUF: `general.type`, "model" or what else it is: "adapter", "mmproj", "imatrix"."""
    base: str | None = None
    """GGUF: the repository of the original model, as "owner/name"."""
    vision: VisionFiles | None = None
    """Its vision files; None if it reads only text, or that is not known."""
    blind: str | None = None
    """Why a model that could see does not."""
    defect: str | None = None
    """GGUF: what the header promises and does not keep, so that loading must fail."""

    @property
    def bits_per_weight(self) -> float:
        """Stored bits for each parameter, over all tensors. The rest of the file, mostly the tokenizer, does
        not count.
        """
        return 8 * sum(group.bytes for group in self.tensors) / self.parameters if self.parameters else 0.0

    def outgrows_window(self, longest: int | None) -> bool:
        """Return True if a conversation can be longer than the window of attention.

        `longest` is its most tokens, None if unknown. On a CPU such a conversation must not continue from the
        prefix cache (runner/windows.py).
        """
        return self.sliding_window is not None and (longest is None or longest > self.sliding_window)

    def kv_cache_bytes(self, tokens: int, element_bytes: int) -> int | None:
        """Return the bytes of a KV cache for `tokens`: keys and values of every KV head of every layer."""
        if self.kv_heads_total is None or self.key_width is None or self.value_width is None:
            return None
        return tokens * self.kv_heads_total * (self.key_width + self.value_width) * element_bytes


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean(text: str, limit: int) -> str:
    """Return text from a file as one line that cannot move the cursor or reorder the text around it."""
    text = _CONTROLS.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"
