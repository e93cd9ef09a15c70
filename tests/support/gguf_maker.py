"""Create small random GGUFs that mistral.rs loads and streams from.

    make_gguf(tmp_path / "q.gguf", architecture="qwen3", matrix="Q4_K", template=CHATML)

The weights are noise (spnl_tui/models/files/gguf_noise.py), so replies are nonsense.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spnl_tui.models.facts import ModelFacts
from spnl_tui.models.files.gguf import FILE_TYPES
from spnl_tui.models.files.gguf_noise import Tensor, byte_letters, write_gguf

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ARCHITECTURES = (
    "llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "phi3",
    "smollm3", "starcoder2", "phi2", "glm4", "mistral3", "hunyuan-dense", "hunyuan-moe", "glm4moe", "phimoe",
)  # fmt: skip
"""The supported architectures. "mistral" and "mixtral" are "llama" in the header, as in published files."""


SPARSE = ("mixtral", "qwen3moe", "hunyuan-moe", "glm4moe", "phimoe")
"""Those with experts; make them with `experts=4`."""


_SHARED = ("hunyuan-moe", "glm4moe")
"""Those with an expert that every token uses."""


@dataclass(frozen=True, kw_only=True)
class GgufSpec:
    """The shape of a synthetic model."""

    architecture: str = "llama"
    layers: int = 2
    width: int = 256
    feed_forward: int = 512
    heads: int = 4
    kv_heads: int = 2
    head_width: int | None = None
    """width / heads if None."""
    vocabulary: int = 512
    """320 or more."""
    context: int = 2048
    matrix: str = "Q8_0"
    """Tensor type of the layers' matrices."""
    down: str | None = None
    """Type of ffn_down, which Q4_K_M and the like keep finer. None: like `matrix`."""
    embedding: str = "Q8_0"
    output: str | None = None
    """Type of a separate output matrix. None: tied to the embedding."""
    experts: int = 0
    experts_used: int = 2
    sliding_window: int | None = None
    tokenizer: str = "gpt2"
    """"gpt2" (byte-level BPE), "llama" (SentencePiece), or another text for an unknown tokenizer."""
    pre_tokenizer: str = "smollm"
    template: str | None = CHATML
    header: str | None = None
    """`general.architecture`; None: as `architecture` says."""
    special: tuple[str, ...] = ()
    """Control tokens besides those of ChatML."""
    name: str = "Made for tests"
    file_type: str | None = None
    seed: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Additional or replaced metadata values; None omits a key."""


def make_gguf(path: Path, spec: GgufSpec | None = None, **changes: Any) -> Path:
    """Write the model, and return its path. `changes` are fields of GgufSpec."""
    spec = spec or GgufSpec(**changes)
    write_gguf(path, metadata_of(spec), list(tensors_of(spec)), spec.seed)
    return path


def make_sharded_gguf(directory: Path, stem: str, shards: int, **changes: Any) -> list[Path]:
    """Write the model as `stem-00001-of-0000N.gguf` and so on, as llama.cpp's gguf-split does."""
    spec = GgufSpec(**changes)
    tensors = list(tensors_of(spec))
    size = -(-len(tensors) // shards)
    paths = []
    for number in range(shards):
        split = {
            "split.no": ("u16", number),
            "split.count": ("u16", shards),
            "split.tensors.count": ("i32", len(tensors)),
        }
        path = directory / f"{stem}-{number + 1:05}-of-{shards:05}.gguf"
        part = tensors[number * size : (number + 1) * size]
        write_gguf(path, {**(metadata_of(spec) if number == 0 else {}), **split}, part, spec.seed)
        paths.append(path)
    return paths


def header_architecture(architecture: str) -> str:
    """Return the value of `general.architecture` for one of ARCHITECTURES."""
    return "llama" if architecture in ("mistral", "mixtral") else architecture


def metadata_of(spec: GgufSpec) -> dict[str, Any]:
    """Return the metadata for write_gguf."""
    arch = spec.header or header_architecture(spec.architecture)
    head = spec.head_width or spec.width // spec.heads
    window = spec.sliding_window
    if window is None and spec.architecture in ("mistral", "gemma2", "gemma3"):
        window = 512
    values: dict[str, Any] = {
        "general.architecture": arch,
        "general.name": spec.name,
        f"{arch}.context_length": spec.context,
        f"{arch}.embedding_length": spec.width,
        f"{arch}.block_count": spec.layers,
        f"{arch}.feed_forward_length": spec.feed_forward,
        f"{arch}.attention.head_count": spec.heads,
        f"{arch}.attention.head_count_kv": spec.kv_heads,
        f"{arch}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{arch}.rope.freq_base": 10000.0,
        f"{arch}.rope.dimension_count": head,
        f"{arch}.attention.key_length": head,
        f"{arch}.attention.value_length": head,
    }
    if spec.architecture in ("starcoder2", "phi2", "phimoe"):
        values[f"{arch}.attention.layer_norm_epsilon"] = 1e-5
    if window:
        values[f"{arch}.attention.sliding_window"] = window
    if spec.experts:
        values[f"{arch}.expert_count"] = spec.experts
        values[f"{arch}.expert_used_count"] = spec.experts_used
        values[f"{arch}.expert_feed_forward_length"] = spec.feed_forward
    if spec.architecture in _SHARED:
        values[f"{arch}.expert_shared_count"] = 1
        values[f"{arch}.expert_shared_feed_forward_length"] = spec.feed_forward
    if spec.architecture == "glm4moe":
        values |= {
            f"{arch}.nextn_predict_layers": 0,
            f"{arch}.leading_dense_block_count": 0,
            f"{arch}.expert_weights_scale": 1.0,
            f"{arch}.expert_weights_norm": True,
            f"{arch}.expert_gating_func": 2,
        }
    if spec.file_type:
        values["general.file_type"] = {name: number for number, name in FILE_TYPES.items()}[spec.file_type]
    values.update(_tokenizer(spec))
    if spec.template is not None:
        values["tokenizer.chat_template"] = spec.template
    values.update(spec.metadata)
    return {key: value for key, value in values.items() if value is not None}


def _tokenizer(spec: GgufSpec) -> dict[str, Any]:
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", *spec.special]
    if spec.tokenizer == "llama":
        plain = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", *"abcdefghijklmnopqrstuvwxyz"]
        kinds = [6] * 256 + [1] * 27
    else:
        plain, kinds = list(byte_letters()), [1] * 256
    tokens, kinds = special + plain, [3] * len(special) + kinds
    tokens += [f"tok{number}" for number in range(spec.vocabulary - len(tokens))]
    kinds += [1] * (spec.vocabulary - len(kinds))
    values: dict[str, Any] = {
        "tokenizer.ggml.model": spec.tokenizer,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [("i32", kind) for kind in kinds],
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 4,
    }
    if spec.tokenizer == "llama":
        values["tokenizer.ggml.scores"] = [-float(number) for number in range(len(tokens))]
    else:
        values["tokenizer.ggml.pre"] = spec.pre_tokenizer
        # "Ġt" would be the first merge of any real vocabulary; its result must be a token.
        tokens[-1] = "th"
        values["tokenizer.ggml.merges"] = ["t h"]
    return values


def tensors_of(spec: GgufSpec) -> Iterator[Tensor]:
    """Yield the tensors for write_gguf."""
    kind, width, ff = spec.architecture, spec.width, spec.feed_forward
    head = spec.head_width or width // spec.heads
    q, kv = head * spec.heads, head * spec.kv_heads
    matrix, down = spec.matrix, spec.down or spec.matrix
    # Gemma's converter stores norms plus one, so one is the neutral value everywhere.
    yield Tensor("token_embd.weight", (width, spec.vocabulary), spec.embedding)
    yield Tensor("output_norm.weight", (width,), "F32", 1.0)
    if kind in ("starcoder2", "phi2", "phimoe"):
        yield Tensor("output_norm.bias", (width,), "F32", 0.0)
    if output := spec.output or (spec.matrix if kind in ("phi2", "phimoe") else None):
        yield Tensor("output.weight", (width, spec.vocabulary), output)
    if kind in ("phi2", "phimoe"):
        yield Tensor("output.bias", (spec.vocabulary,), "F32", 0.0)
    for layer in range(spec.layers):
        p = f"blk.{layer}."
        yield Tensor(p + "attn_norm.weight", (width,), "F32", 1.0)
        if kind != "phi2":
            yield Tensor(p + "ffn_norm.weight", (width,), "F32", 1.0)
        if kind in ("gemma2", "gemma3", "glm4", "glm4moe"):
            yield Tensor(p + "post_attention_norm.weight", (width,), "F32", 1.0)
        if kind in ("gemma2", "gemma3", "glm4"):
            yield Tensor(p + "post_ffw_norm.weight", (width,), "F32", 1.0)
        if kind in ("qwen3", "qwen3moe", "gemma3", "hunyuan-dense", "hunyuan-moe", "glm4moe"):
            yield Tensor(p + "attn_q_norm.weight", (head,), "F32", 1.0)
            yield Tensor(p + "attn_k_norm.weight", (head,), "F32", 1.0)
        if kind in ("phi3", "phi2"):
            yield Tensor(p + "attn_qkv.weight", (width, q + 2 * kv), matrix)
        else:
            for name, rows in (("q", q), ("k", kv), ("v", kv)):
                yield Tensor(p + f"attn_{name}.weight", (width, rows), matrix)
                if kind in ("qwen2", "starcoder2", "glm4", "phimoe"):
                    yield Tensor(p + f"attn_{name}.bias", (rows,), "F32", 0.0)
        yield Tensor(p + "attn_output.weight", (q, width), matrix)
        if kind in ("starcoder2", "phi2"):
            for name in ("attn_norm", "attn_output", "ffn_down"):
                yield Tensor(p + name + ".bias", (width,), "F32", 0.0)
            for name in ("attn_qkv",) if kind == "phi2" else ("ffn_norm",):
                size = q + 2 * kv if kind == "phi2" else width
                yield Tensor(p + name + ".bias", (size,), "F32", 0.0)
            yield Tensor(p + "ffn_up.bias", (ff,), "F32", 0.0)
        if kind == "phimoe":
            for name in ("attn_norm", "ffn_norm", "attn_output"):
                yield Tensor(p + name + ".bias", (width,), "F32", 0.0)
        if kind in _SHARED:
            yield Tensor(p + "ffn_gate_shexp.weight", (width, ff), matrix)
            yield Tensor(p + "ffn_up_shexp.weight", (width, ff), matrix)
            yield Tensor(p + "ffn_down_shexp.weight", (ff, width), down)
        if kind == "glm4moe":
            yield Tensor(p + "exp_probs_b.bias", (spec.experts,), "F32", 0.0)
        if spec.experts:
            yield Tensor(p + "ffn_gate_inp.weight", (width, spec.experts), "F32")
            yield Tensor(p + "ffn_gate_exps.weight", (width, ff, spec.experts), matrix)
            yield Tensor(p + "ffn_up_exps.weight", (width, ff, spec.experts), matrix)
            yield Tensor(p + "ffn_down_exps.weight", (ff, width, spec.experts), down)
            continue
        if kind not in ("phi3", "starcoder2", "phi2", "glm4"):
            yield Tensor(p + "ffn_gate.weight", (width, ff), matrix)
        # Some architectures store gate and up in one tensor.
        up = 2 * ff if kind in ("phi3", "glm4") else ff
        yield Tensor(p + "ffn_up.weight", (width, up), matrix)
        yield Tensor(p + "ffn_down.weight", (ff, width), down)


def type_shares(facts: ModelFacts) -> dict[str, float]:
    """Return the share of the tensor bytes by type, largest first."""
    total = sum(group.bytes for group in facts.tensors)
    shares: dict[str, float] = {}
    for group in facts.tensors:
        shares[group.type] = shares.get(group.type, 0.0) + group.bytes / total
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
