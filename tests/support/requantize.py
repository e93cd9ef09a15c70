"""The real model in other formats: as GGUF in another quantization, and as a directory of safetensors.

The `gguf` package quantizes to Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, F16 and BF16.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, quants

TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16", "BF16", "F32")
_ALIGNMENT = 32


def requantize(source: Path, target: Path, type: str) -> Path:
    """Write the model of `source` to `target` with every matrix in this type, and return the path."""
    reader = GGUFReader(source)
    # Copy the metadata unchanged: they end where the first tensor's description begins.
    metadata = bytes(reader.data[24 : reader.tensors[0].field.offset])
    infos, data, offset = b"", [], 0
    for tensor in reader.tensors:
        wanted = Type[type] if len(tensor.shape) == 2 else tensor.tensor_type
        values = tensor.data
        if wanted != tensor.tensor_type:
            values = quants.quantize(quants.dequantize(values, tensor.tensor_type), wanted)
        name = tensor.name.encode()
        infos += len(name).to_bytes(8, "little") + name + len(tensor.shape).to_bytes(4, "little")
        infos += b"".join(int(size).to_bytes(8, "little") for size in tensor.shape)
        infos += int(wanted).to_bytes(4, "little") + offset.to_bytes(8, "little")
        data.append(_padded(values.tobytes()))
        offset += len(data[-1])
    with target.open("wb") as file:
        file.write(bytes(reader.data[:24]) + metadata + infos)
        file.write(bytes(-file.tell() % _ALIGNMENT))
        file.writelines(data)
    return target


def to_safetensors(source: Path, directory: Path) -> Path:
    """Write a llama GGUF as a directory of F16 safetensors in Hugging Face's layout."""
    reader = GGUFReader(source)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    heads, kv_heads = fields["llama.attention.head_count"], fields["llama.attention.head_count_kv"]
    tensors = {}
    for tensor in reader.tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float16)
        if tensor.name.endswith("attn_q.weight"):
            values = _unpermuted(values, heads)
        elif tensor.name.endswith("attn_k.weight"):
            values = _unpermuted(values, kv_heads)
        tensors[_name(tensor.name)] = values
    directory.mkdir(exist_ok=True)
    write_safetensors(directory / "model.safetensors", tensors)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "max_position_embeddings": fields["llama.context_length"],
        "num_attention_heads": heads,
        "num_hidden_layers": fields["llama.block_count"],
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": fields["llama.attention.layer_norm_rms_epsilon"],
        "rope_theta": fields["llama.rope.freq_base"],
        "tie_word_embeddings": True,
        "vocab_size": fields["llama.vocab_size"],
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "torch_dtype": "float16",
    }
    tokens = fields["tokenizer.ggml.tokens"]
    special = [t for t, kind in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True) if kind == 3]
    tokenizer = byte_level_tokenizer(tokens, fields["tokenizer.ggml.merges"], special)
    write_side_files(directory, config, tokenizer, fields["tokenizer.chat_template"], tokens[2])
    return directory


def byte_level_tokenizer(tokens: list[str], merges: list[str], special: list[str]) -> dict[str, Any]:
    """Return the tokenizer.json of a byte-level BPE with single digits, like SmolLM2's."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": tokens.index(token), "content": token, **flags} for token in special],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": merges,
        },
    }


def write_side_files(
    directory: Path, config: dict[str, Any], tokenizer: dict[str, Any], template: str, eos: str
) -> None:
    """Write config.json and the tokenizer's files."""
    sides = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"chat_template": template, "eos_token": eos},
    }
    for name, content in sides.items():
        (directory / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def write_safetensors(path: Path, tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    header, offset = {}, 0
    for name, values in tensors.items():
        end = offset + values.nbytes
        header[name] = {"dtype": "F16", "shape": list(values.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(values.tobytes() for values in tensors.values())


def _unpermuted(values: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Return the rows in Hugging Face's order: llama.cpp's converter pairs the halves of each head."""
    rows, width = values.shape
    paired = values.reshape(heads, rows // heads // 2, 2, width)
    return np.ascontiguousarray(paired.swapaxes(1, 2).reshape(rows, width))


def _name(name: str) -> str:
    """Return Hugging Face's name of a llama tensor."""
    fixed = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    if name in fixed:
        return fixed[name]
    _, layer, part, kind = name.split(".")
    parts = {
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
    return f"model.layers.{layer}.{parts[part]}.{kind}"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)
