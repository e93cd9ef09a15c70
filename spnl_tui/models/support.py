"""What mistralrs 0.9 can load, and how it handles each tensor type on a CPU.

From its source (gguf/normal_registry.rs, gguf/gguf_tokenizer.rs, mistralrs-quant/src/gguf) and from loading
synthetic models. docs/models.md has the measurements, and `python -m benchmarks.verdicts` repeats them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from spnl_tui.models.facts import ModelFacts, TensorGroup

GGUF_ARCHITECTURES = frozenset({
    "llama", "mistral3", "gemma", "gemma2", "gemma3", "phi2", "phi3", "qwen2", "qwen3", "qwen3moe",
    "starcoder2", "glm4", "smollm3", "gpt-oss", "lfm2", "phimoe", "glm4moe", "hunyuan-dense", "hunyuan-moe",
})  # fmt: skip
"""Architectures of which synthetic or real models load and stream."""

GGUF_ARCHITECTURES_UNPROVEN = frozenset({
    "qwen3next", "qwen35", "qwen35moe", "deepseek2", "granitehybrid", "lfm2moe",
    "gemma3n", "gemma4", "llama4", "muse-glimmer", "qwen3vlmoe",
})  # fmt: skip
"""Architectures for which mistral.rs has an untested loader. deepseek2 may fail at the first request."""

GGUF_ARCHITECTURES_FAILING = frozenset({"granite", "granitemoe"})
"""Architectures that mistral.rs 0.9.5 loads, but then fails at the first request: "hybrid cache has no
recurrent state pool"."""

SAFETENSORS_ARCHITECTURES = frozenset({
    "LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "GemmaForCausalLM", "Gemma2ForCausalLM",
    "PhiForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Qwen3MoeForCausalLM",
    "Starcoder2ForCausalLM", "SmolLM3ForCausalLM", "Glm4ForCausalLM", "Lfm2ForCausalLM", "GptOssForCausalLM",
    "Gemma3ForConditionalGeneration", "Idefics3ForConditionalGeneration", "Qwen2VLForConditionalGeneration",
})  # fmt: skip

SAFETENSORS_ARCHITECTURES_UNPROVEN = frozenset({
    "PhiMoEForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "GraniteMoeHybridForCausalLM",
    "Glm4MoeForCausalLM", "Glm4MoeLiteForCausalLM", "Qwen3NextForCausalLM", "HunYuanDenseV1ForCausalLM",
    "HunYuanMoEV1ForCausalLM", "Lfm2MoeForCausalLM", "Qwen3_5ForCausalLM",
    "Gemma3ForCausalLM",
    "Qwen2_5_VLForConditionalGeneration", "Qwen3VLForConditionalGeneration",
    "Qwen3VLMoeForConditionalGeneration", "Mistral3ForConditionalGeneration",
    "Llama4ForConditionalGeneration", "Gemma3nForConditionalGeneration", "Gemma4ForConditionalGeneration",
    "LlavaForConditionalGeneration", "LlavaNextForConditionalGeneration", "Lfm2VlForConditionalGeneration",
    "MllamaForConditionalGeneration", "Idefics2ForConditionalGeneration",
    "Phi3VForCausalLM", "Phi4MMForCausalLM",
})  # fmt: skip

GGUF_TOKENIZERS = frozenset({"gpt2", "llama", "replit", "gemma", "gemma4"})

PRE_TOKENIZERS = frozenset({
    "llama3", "llama-v3", "llama-bpe", "lfm2", "pixtral", "dbrx", "qwen2", "deepseek-r1-qwen", "qwen35",
    "gpt-2", "phi-2", "starcoder", "smollm", "glm4", "chatglm-bpe", "deepseek-llm", "deepseek-coder",
    "deepseek-v3", "hunyuan-dense", "hunyuan", "gpt-4o", "llama4", "tekken",
})  # fmt: skip
"""Accepted pre-tokenizers of the "gpt2" tokenizer. mistral.rs refuses all others."""


GGUF_ARCHITECTURES_WITH_PROJECTOR = frozenset({
    "gemma3n", "gemma4", "llama4", "muse-glimmer", "qwen2vl", "qwen3vl", "qwen3vlmoe",
})  # fmt: skip
"""Architectures that load only with a projector (mmproj), even to read only text."""


def missing_config(facts: ModelFacts) -> dict[str, object] | None:
    """Return the config.json that mistral.rs needs beside this GGUF; None if it needs none.

    A Mistral model stored as "llama" does not say whether its attention has a window, and mistral.rs refuses
    to guess (normal_registry.rs). Models that state no window (version 0.2 and later) have none. As a Llama,
    mistral.rs would derive the width of a head from the embedding, which is wrong for Mistral Nemo.
    """
    first_word = next((w for w in re.split(r"[^A-Za-z0-9]+", facts.basename or facts.name or "") if w), "")
    own_head_width = facts.key_width != (facts.embedding_width or 0) / (facts.heads or 1)
    plain_llama = facts.format == "gguf" and facts.architecture == "llama" and not facts.experts
    if not plain_llama or facts.sliding_window or not (first_word.lower() == "mistral" or own_head_width):
        return None
    return {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "hidden_act": "silu",
        "hidden_size": facts.embedding_width,
        "intermediate_size": facts.feed_forward_width,
        "vocab_size": facts.vocabulary,
        "num_hidden_layers": facts.layers,
        "num_attention_heads": facts.heads,
        "num_key_value_heads": facts.kv_heads,
        "head_dim": facts.key_width,
        "rms_norm_eps": facts.norm_epsilon,
        "rope_theta": facts.rope_base or 10_000.0,
        "max_position_embeddings": facts.context_length,
        "sliding_window": None,
        "tie_word_embeddings": all(group.role != "output" for group in facts.tensors),
    }


@dataclass(frozen=True, slots=True)
class Kernel:
    """The memory and computing cost of one matrix type on a CPU.

    Costs are relative to Q8_0 on a CPU with VNNI.
    """

    bytes_per_element: float
    """Bytes in memory: quantized types as stored, floats widened to 32 bits."""
    decode: float
    """Cost per weight when one token is computed."""
    prefill: float
    """Cost per weight and token when a prompt is computed."""
    repacked: float = 0.0
    """Bytes per element of the second copy, rearranged for speed. It exists only for rows that are multiples
    of 256; for Q8_0 only on a processor with VNNI."""

    def ratio(self, *, prefill: bool) -> float:
        """Return the cost per weight."""
        return self.prefill if prefill else self.decode


KERNELS: Mapping[str, Kernel] = {
    "Q2_K": Kernel(84 / 256, 0.45, 2.6),
    "Q3_K": Kernel(110 / 256, 0.55, 3.3),
    "Q4_K": Kernel(144 / 256, 0.85, 0.73, repacked=192 / 256),
    "Q5_K": Kernel(176 / 256, 0.62, 3.4),
    "Q6_K": Kernel(210 / 256, 0.70, 0.78, repacked=320 / 256),
    "Q8_K": Kernel(292 / 256, 0.60, 2.5),
    "Q8_0": Kernel(34 / 32, 1.0, 1.0, repacked=34 / 32),
    "Q4_0": Kernel(18 / 32, 1.4, 8.5),
    "Q4_1": Kernel(20 / 32, 6.8, 42.0),
    "Q5_0": Kernel(22 / 32, 8.7, 54.0),
    "Q5_1": Kernel(24 / 32, 8.7, 54.0),
    "Q8_1": Kernel(36 / 32, 7.5, 45.0),
    "F32": Kernel(4.0, 1.9, 1.6),
    "F16": Kernel(4.0, 1.9, 1.6),
    "BF16": Kernel(4.0, 1.9, 1.6),
}

EXPERTS_UNPACK, EXPERTS_GATHER = 7.0, 4.5
"""Cost per weight of stacked experts with large memory pages (load_plan.runner_environment), relative to
decoding floats. No CPU kernel multiplies stacked experts as stored: every pass widens all experts of a layer
to 32 bits and copies the used ones for each token."""

NARROW_DECODE, NARROW_PREFILL = 1.6, 8.5
"""The factor by which Q8_0 is slower if rows are not multiples of 256 and so have no rearranged copy."""

IN_SITU_TYPES: Mapping[str, str] = {
    "2": "Q2_K", "3": "Q3_K", "4": "Q4_K", "5": "Q5_K", "6": "Q6_K", "8": "Q8_0",
    "Q2K": "Q2_K", "Q3K": "Q3_K", "Q4K": "Q4_K", "Q5K": "Q5_K", "Q6K": "Q6_K", "Q8K": "Q8_K",
    "Q4_0": "Q4_0", "Q4_1": "Q4_1", "Q5_0": "Q5_0", "Q5_1": "Q5_1", "Q8_0": "Q8_0", "Q8_1": "Q8_1",
}  # fmt: skip
"""mistral.rs's names for in-situ quantizations → the resulting tensor type on a CPU."""


_SIMPLER = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q4_1", "Q5_K": "Q5_0", "Q6_K": "Q5_1", "Q8_K": "Q8_1"}


def quantizable(group: TensorGroup) -> bool:
    """Return True if in-situ quantization changes these tensors, that is all matrices except the
    embedding."""
    return group.role in ("matrix", "experts", "output")


def after_in_situ(group: TensorGroup, in_situ: str | None) -> str:
    """Return the type of these tensors after loading.

    A K-quant needs rows that are multiples of 256. For other rows candle silently takes a simpler format
    (utils/isq.rs), or leaves a tensor unchanged that fits neither.
    """
    wanted = IN_SITU_TYPES.get(in_situ or "")
    if wanted is None or not quantizable(group):
        return group.type
    if wanted.endswith("_K") and group.row % 256:
        wanted = _SIMPLER[wanted]
    return wanted if group.row % 32 == 0 else group.type
