"""Create directories of small random safetensors that mistral.rs loads and streams from.

make_safetensors(tmp_path / "qwen3", "qwen3")
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spnl_tui.models.files.gguf_noise import byte_letters
from tests.support.gguf_maker import CHATML
from tests.support.requantize import byte_level_tokenizer, write_safetensors, write_side_files

WIDTH, HIDDEN, HEADS, KV_HEADS, HEAD, LAYERS, VOCABULARY, EXPERTS = 128, 256, 4, 2, 32, 2, 512, 4

_CONFIG: dict[str, Any] = {
    "hidden_act": "silu",
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "max_position_embeddings": 2048,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "num_hidden_layers": LAYERS,
    "head_dim": HEAD,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": VOCABULARY,
    "bos_token_id": 1,
    "eos_token_id": VOCABULARY - 1,
    "torch_dtype": "float16",
}
_QWEN = {"use_sliding_window": False, "sliding_window": None, "max_window_layers": LAYERS}
_GEMMA = {
    "hidden_act": "gelu_pytorch_tanh",
    "attention_bias": False,
    "tie_word_embeddings": True,
}
_EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": EXPERTS, "num_experts": EXPERTS}
_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaForCausalLM", {}),
    "mistral": ("MistralForCausalLM", {"sliding_window": 512}),
    "mixtral": ("MixtralForCausalLM", {**_EXPERTS, "sliding_window": None}),
    "gemma": ("GemmaForCausalLM", _GEMMA),
    "gemma2": (
        "Gemma2ForCausalLM",
        {
            **_GEMMA,
            "hidden_act": None,
            "hidden_activation": "gelu_pytorch_tanh",
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
            "query_pre_attn_scalar": HEAD,
            "sliding_window": 512,
        },
    ),
    "phi": (
        "PhiForCausalLM",
        {
            "hidden_act": "gelu_new",
            "layer_norm_eps": 1e-5,
            "partial_rotary_factor": 0.5,
            "qk_layernorm": False,
        },
    ),
    "phi3": (
        "Phi3ForCausalLM",
        {"original_max_position_embeddings": 2048, "rope_scaling": None, "sliding_window": None},
    ),
    "qwen2": ("Qwen2ForCausalLM", _QWEN),
    "qwen3": ("Qwen3ForCausalLM", {**_QWEN, "attention_bias": False}),
    "qwen3_moe": (
        "Qwen3MoeForCausalLM",
        {
            **_QWEN,
            **_EXPERTS,
            "attention_bias": False,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "moe_intermediate_size": HIDDEN,
            "norm_topk_prob": True,
        },
    ),
    "smollm3": (
        "SmolLM3ForCausalLM",
        {
            "attention_bias": False,
            "mlp_bias": False,
            "no_rope_layer_interval": 4,
            "no_rope_layers": [1] * LAYERS,
            "layer_types": ["full_attention"] * LAYERS,
            "use_sliding_window": False,
            "sliding_window": None,
        },
    ),
    "starcoder2": (
        "Starcoder2ForCausalLM",
        {
            "hidden_act": "gelu_pytorch_tanh",
            "norm_epsilon": 1e-5,
            "use_bias": True,
            "sliding_window": None,
        },
    ),
    "glm4": (
        "Glm4ForCausalLM",
        {"attention_bias": True, "partial_rotary_factor": 0.5},
    ),
}
ARCHITECTURES = tuple(_CLASSES)
"""The supported architectures: `model_type` of config.json."""


def make_safetensors(directory: Path, architecture: str, *, seed: int = 0) -> Path:
    """Write the model, and return its directory."""
    name, changes = _CLASSES[architecture]
    config = {**_CONFIG, **changes, "architectures": [name], "model_type": architecture}
    chance = np.random.default_rng(seed)
    tensors = {}
    for tensor, shape, fill in _tensors(architecture, tied=config["tie_word_embeddings"]):
        values = chance.normal(0.0, 0.05, shape) if fill is None else np.full(shape, fill)
        tensors[tensor] = values.astype(np.float16)
    directory.mkdir()
    write_safetensors(directory / "model.safetensors", tensors)
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    tokens = [*special, *byte_letters()]
    tokens += [f"tok{number}" for number in range(VOCABULARY - len(tokens) - 1)] + ["th"]
    tokenizer = byte_level_tokenizer(tokens, ["t h"], special)
    write_side_files(directory, config, tokenizer, CHATML, tokens[-1])
    return directory


def _tensors(kind: str, *, tied: bool) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
    """Yield name, shape, and the value of all elements unless it is noise."""
    biased = kind in ("phi", "starcoder2")
    # Gemma adds one to its norms' weights itself.
    neutral = 0.0 if kind.startswith("gemma") else 1.0
    q, kv = HEADS * HEAD, KV_HEADS * HEAD

    def norm(name: str, width: int = WIDTH) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
        yield f"{name}.weight", (width,), neutral
        if biased:
            yield f"{name}.bias", (width,), 0.0

    def linear(
        name: str, rows: int, row: int, bias: bool = biased
    ) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
        yield f"{name}.weight", (rows, row), None
        if bias:
            yield f"{name}.bias", (rows,), 0.0

    yield "model.embed_tokens.weight", (VOCABULARY, WIDTH), None
    yield from norm("model.final_layernorm" if kind == "phi" else "model.norm")
    if not tied:
        yield from linear("lm_head", VOCABULARY, WIDTH, bias=kind == "phi")
    for layer in range(LAYERS):
        p = f"model.layers.{layer}."
        yield from norm(p + "input_layernorm")
        if kind != "phi":
            yield from norm(p + "post_attention_layernorm")
        if kind == "gemma2":
            yield from norm(p + "pre_feedforward_layernorm")
            yield from norm(p + "post_feedforward_layernorm")
        if kind == "glm4":
            yield from norm(p + "post_self_attn_layernorm")
            yield from norm(p + "post_mlp_layernorm")
        if kind.startswith("qwen3"):
            yield from norm(p + "self_attn.q_norm", HEAD)
            yield from norm(p + "self_attn.k_norm", HEAD)
        if kind == "phi3":
            yield from linear(p + "self_attn.qkv_proj", q + 2 * kv, WIDTH)
        else:
            with_bias = biased or kind in ("qwen2", "glm4")
            yield from linear(p + "self_attn.q_proj", q, WIDTH, with_bias)
            yield from linear(p + "self_attn.k_proj", kv, WIDTH, with_bias)
            yield from linear(p + "self_attn.v_proj", kv, WIDTH, with_bias)
        yield from linear(p + ("self_attn.dense" if kind == "phi" else "self_attn.o_proj"), WIDTH, q)
        match kind:
            case "mixtral":
                yield from linear(p + "block_sparse_moe.gate", EXPERTS, WIDTH)
                for expert in range(EXPERTS):
                    e = f"{p}block_sparse_moe.experts.{expert}."
                    yield from linear(e + "w1", HIDDEN, WIDTH)
                    yield from linear(e + "w2", WIDTH, HIDDEN)
                    yield from linear(e + "w3", HIDDEN, WIDTH)
            case "qwen3_moe":
                yield from linear(p + "mlp.gate", EXPERTS, WIDTH)
                for expert in range(EXPERTS):
                    yield from _gated(f"{p}mlp.experts.{expert}.")
            case "phi":
                yield from linear(p + "mlp.fc1", HIDDEN, WIDTH)
                yield from linear(p + "mlp.fc2", WIDTH, HIDDEN)
            case "starcoder2":
                yield from linear(p + "mlp.c_fc", HIDDEN, WIDTH)
                yield from linear(p + "mlp.c_proj", WIDTH, HIDDEN)
            case "phi3" | "glm4":
                yield from linear(p + "mlp.gate_up_proj", 2 * HIDDEN, WIDTH)
                yield from linear(p + "mlp.down_proj", WIDTH, HIDDEN)
            case _:
                yield from _gated(p + "mlp.")


def _gated(prefix: str) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
    yield prefix + "gate_proj.weight", (HIDDEN, WIDTH), None
    yield prefix + "up_proj.weight", (HIDDEN, WIDTH), None
    yield prefix + "down_proj.weight", (WIDTH, HIDDEN), None
