"""Create the models of vision_maker.py as directories of safetensors, in Hugging Face's layout.

make_vision_safetensors(tmp_path / "smol", "idefics3")
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.gguf_maker import CHATML, GgufSpec, metadata_of, tensors_of
from tests.support.requantize import byte_level_tokenizer, write_safetensors, write_side_files
from tests.support.vision_maker import VOCABULARY, family_of

_TEXT = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_GEMMA = {
    **_TEXT,
    "ffn_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
}
_SIGLIP = {
    "ln1": "layer_norm1",
    "ln2": "layer_norm2",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_out": "self_attn.out_proj",
    "ffn_up": "mlp.fc1",
    "ffn_down": "mlp.fc2",
}
_QWEN = {
    "ln1": "norm1",
    "ln2": "norm2",
    "attn_qkv": "attn.qkv",
    "attn_out": "attn.proj",
    "ffn_up": "mlp.fc1",
    "ffn_down": "mlp.fc2",
}
_NAMES: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "idefics3": (
        "model.text_model",
        "model.vision_model.encoder.layers",
        _SIGLIP,
        {
            "v.patch_embd": "model.vision_model.embeddings.patch_embedding",
            "v.position_embd": "model.vision_model.embeddings.position_embedding",
            "v.post_ln": "model.vision_model.post_layernorm",
            "mm.model.fc": "model.connector.modality_projection.proj",
        },
    ),
    "gemma3": (
        "language_model.model",
        "vision_tower.vision_model.encoder.layers",
        _SIGLIP,
        {
            "v.patch_embd": "vision_tower.vision_model.embeddings.patch_embedding",
            "v.position_embd": "vision_tower.vision_model.embeddings.position_embedding",
            "v.post_ln": "vision_tower.vision_model.post_layernorm",
            "mm.soft_emb_norm": "multi_modal_projector.mm_soft_emb_norm",
        },
    ),
    "qwen2_vl": (
        "model",
        "visual.blocks",
        _QWEN,
        {
            "v.patch_embd": "visual.patch_embed.proj",
            "v.post_ln": "visual.merger.ln_q",
            "mm.0": "visual.merger.mlp.0",
            "mm.2": "visual.merger.mlp.2",
        },
    ),
}
"""By family: the language model, the blocks of the vision tower, their parts, and all other tensors."""
SAFETENSORS_FAMILIES = tuple(_NAMES)


def make_vision_safetensors(directory: Path, family: str) -> Path:
    """Write the model, and return its directory."""
    kind = family_of(family)
    spec = GgufSpec(architecture=kind.architecture, vocabulary=VOCABULARY, special=kind.words)
    chance = np.random.default_rng(0)
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    for tensor in (*tensors_of(spec), *kind.tensors()):
        shape = tuple(reversed(tensor.shape))
        values = chance.normal(0.0, 0.05, shape) if tensor.fill is None else np.full(shape, tensor.fill)
        if tensor.name == "v.patch_embd.weight.1":  # the second frame of a video
            first = tensors["visual.patch_embed.proj.weight"]
            tensors["visual.patch_embed.proj.weight"] = np.stack([first, values.astype(np.float16)], axis=2)
            continue
        tensors[_name(family, tensor.name)] = values.astype(np.float16)
    directory.mkdir(parents=True)
    tensors = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    if family != "gemma3":
        tensors["lm_head.weight"] = tensors[f"{_NAMES[family][0]}.embed_tokens.weight"]
    write_safetensors(directory / "model.safetensors", tensors)
    tokens = metadata_of(spec)["tokenizer.ggml.tokens"]
    special = [*tokens[: 5 + len(kind.words)]]
    tokenizer = byte_level_tokenizer(tokens, ["t h"], special)
    write_side_files(directory, {"model_type": family, **kind.config}, tokenizer, CHATML, tokens[4])
    (directory / "preprocessor_config.json").write_text(json.dumps(kind.preprocessor))
    if kind.processor:
        (directory / "processor_config.json").write_text(json.dumps(kind.processor))
    return directory


def _name(family: str, name: str) -> str:
    """Return Hugging Face's name of a tensor."""
    text, blocks, parts, others = _NAMES[family]
    words = _GEMMA if family == "gemma3" else _TEXT
    if name == "mm.input_projection.weight":
        return "multi_modal_projector.mm_input_projection_weight"
    stem, _, end = name.rpartition(".")
    if stem in others:
        return f"{others[stem]}.{end}"
    if match := re.fullmatch(r"v\.blk\.(\d+)\.(\w+)", stem):
        return f"{blocks}.{match[1]}.{parts[match[2]]}.{end}"
    if match := re.fullmatch(r"blk\.(\d+)\.(\w+)", stem):
        return f"{text}.layers.{match[1]}.{words[match[2]]}.{end}"
    return f"{text}.{words[stem]}.{end}"
