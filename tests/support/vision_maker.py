"""Create small random models that see: a GGUF, its projector and the config files of its base model.

    make_vision_model(tmp_path / "smol", "idefics3")

The weights are noise, so replies are nonsense.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spnl_tui.models.files.gguf_noise import Tensor, write_gguf
from tests.support.gguf_maker import CHATML, make_gguf

SEEN, BLOCKS, PATCH, IMAGE, DEEP = 64, 2, 14, 56, 128
"""The vision tower: width, layers, pixels of a patch and of an image, width of the feed-forward layers."""
WIDTH, VOCABULARY, MERGE = 256, 640, 2

_TEXT = {
    "hidden_act": "silu",
    "hidden_size": WIDTH,
    "intermediate_size": 512,
    "vocab_size": VOCABULARY,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
_VISION = {
    "hidden_size": SEEN,
    "intermediate_size": DEEP,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4,
    "num_channels": 3,
    "image_size": IMAGE,
    "patch_size": PATCH,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}
_PREPROCESSOR = {
    "do_convert_rgb": True,
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
    "resample": 2,
}
_QWEN_WORDS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_QWEN_PREPROCESSOR = {
    **_PREPROCESSOR,
    "patch_size": PATCH,
    "merge_size": MERGE,
    "temporal_patch_size": 2,
    "min_pixels": 28 * 28,
    "max_pixels": 112 * 112,
}
_QWEN_VISION = {
    "depth": BLOCKS,
    "num_heads": 4,
    "in_channels": 3,
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "temporal_patch_size": 2,
}
_MROPE = {"type": "mrope", "rope_type": "default", "mrope_section": [8, 12, 12]}


def _linear(name: str, row: int, rows: int, bias: bool = True) -> Iterator[Tensor]:
    yield Tensor(f"{name}.weight", (row, rows), "F16")
    if bias:
        yield Tensor(f"{name}.bias", (rows,), "F32", 0.0)


def _norm(name: str, width: int = SEEN, bias: bool = True) -> Iterator[Tensor]:
    yield Tensor(f"{name}.weight", (width,), "F32", 1.0)
    if bias:
        yield Tensor(f"{name}.bias", (width,), "F32", 0.0)


def _patches(*, bias: bool, frames: int = 1) -> Iterator[Tensor]:
    for suffix in ("", ".1")[:frames]:
        yield Tensor(f"v.patch_embd.weight{suffix}", (PATCH, PATCH, 3, SEEN), "F16")
    if bias:
        yield Tensor("v.patch_embd.bias", (SEEN,), "F32", 0.0)


def _blocks(*, fused: bool, gated: bool = False, bias: bool = True, rms: bool = False) -> Iterator[Tensor]:
    for number in range(BLOCKS):
        p = f"v.blk.{number}."
        yield from _norm(p + "ln1", bias=not rms)
        yield from _norm(p + "ln2", bias=not rms)
        if fused:
            yield from _linear(p + "attn_qkv", SEEN, 3 * SEEN, bias)
        else:
            for name in ("attn_q", "attn_k", "attn_v"):
                yield from _linear(p + name, SEEN, SEEN, bias)
        yield from _linear(p + "attn_out", SEEN, SEEN, bias)
        if gated:
            yield from _linear(p + "ffn_gate", SEEN, DEEP, bias)
        yield from _linear(p + "ffn_up", SEEN, DEEP, bias)
        yield from _linear(p + "ffn_down", DEEP, SEEN, bias)


def _positions() -> Tensor:
    return Tensor("v.position_embd.weight", (SEEN, (IMAGE // PATCH) ** 2), "F32")


def _siglip() -> Iterator[Tensor]:
    yield from _patches(bias=True)
    yield _positions()
    yield from _norm("v.post_ln")
    yield from _blocks(fused=False)


def _idefics3() -> Iterator[Tensor]:
    yield from _siglip()
    yield Tensor("mm.model.fc.weight", (SEEN * MERGE**2, WIDTH), "F16")


def _gemma3() -> Iterator[Tensor]:
    yield from _siglip()
    yield Tensor("mm.input_projection.weight", (WIDTH, SEEN), "F16")
    yield Tensor("mm.soft_emb_norm.weight", (SEEN,), "F32", 1.0)


def _mistral3() -> Iterator[Tensor]:
    yield from _patches(bias=False)
    yield from _norm("v.pre_ln", bias=False)
    yield from _blocks(fused=False, gated=True, bias=False, rms=True)
    yield from _norm("mm.input_norm", bias=False)
    yield Tensor("mm.patch_merger.weight", (SEEN * MERGE**2, SEEN), "F16")
    yield from _linear("mm.1", SEEN, WIDTH, False)
    yield from _linear("mm.2", WIDTH, WIDTH, False)


def _qwen_merger(prefix: str = "mm.", names: tuple[str, str] = ("0", "2")) -> Iterator[Tensor]:
    yield from _linear(prefix + names[0], SEEN * MERGE**2, SEEN * MERGE**2)
    yield from _linear(prefix + names[1], SEEN * MERGE**2, WIDTH)


def _qwen2vl() -> Iterator[Tensor]:
    yield from _patches(bias=False, frames=2)
    yield from _blocks(fused=True)
    yield from _norm("v.post_ln")
    yield from _qwen_merger()


def _qwen25vl() -> Iterator[Tensor]:
    yield from _patches(bias=False, frames=2)
    yield from _blocks(fused=True, gated=True, rms=True)
    yield from _norm("v.post_ln", bias=False)
    yield from _qwen_merger()


def _qwen3vl() -> Iterator[Tensor]:
    yield from _patches(bias=True, frames=2)
    yield _positions()
    yield from _blocks(fused=True)
    yield from _norm("v.post_ln")
    yield from _qwen_merger()
    yield from _norm("v.deepstack.0.norm", SEEN * MERGE**2)
    yield from _qwen_merger("v.deepstack.0.", ("fc1", "fc2"))


@dataclass(frozen=True, kw_only=True)
class Family:
    """What makes a family."""

    words: tuple[str, ...]
    """Control tokens; the first has the id 5."""
    projector: str
    tensors: Callable[[], Iterator[Tensor]]
    architecture: str = "llama"
    header: str | None = None
    config: Mapping[str, Any]
    preprocessor: Mapping[str, Any] = field(default_factory=lambda: _PREPROCESSOR)
    processor: Mapping[str, Any] = field(default_factory=dict)
    clip: Mapping[str, Any] = field(default_factory=dict)


_FAMILIES: Mapping[str, Family] = {
    "idefics3": Family(
        words=(
            *("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
            *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
        ),
        projector="idefics3",
        tensors=_idefics3,
        config={
            "architectures": ["Idefics3ForConditionalGeneration"],
            "image_token_id": 5,
            "scale_factor": MERGE,
            "vision_config": _VISION,
            "text_config": {"model_type": "llama", **_TEXT},
        },
        preprocessor={
            **_PREPROCESSOR,
            "do_pad": True,
            "do_image_splitting": True,
            "max_image_size": {"longest_edge": IMAGE},
            "size": {"longest_edge": 2 * IMAGE},
        },
        processor={"image_seq_len": (IMAGE // PATCH // MERGE) ** 2},
    ),
    "gemma3": Family(
        words=("<image_soft_token>", "<start_of_image>", "<end_of_image>"),
        projector="gemma3",
        tensors=_gemma3,
        architecture="gemma3",
        config={
            "architectures": ["Gemma3ForConditionalGeneration"],
            "image_token_index": 5,
            "mm_tokens_per_image": 4,
            "vision_config": _VISION,
            "text_config": {
                **_TEXT,
                "model_type": "gemma3_text",
                "hidden_activation": "gelu_pytorch_tanh",
                "sliding_window": 512,
                "query_pre_attn_scalar": 64,
            },
        },
        preprocessor={**_PREPROCESSOR, "size": {"height": IMAGE, "width": IMAGE}},
        processor={"image_seq_length": 4},
    ),
    "mistral3": Family(
        words=("[IMG]", "[IMG_BREAK]", "[IMG_END]"),
        projector="pixtral",
        tensors=_mistral3,
        architecture="mistral3",
        config={
            "architectures": ["Mistral3ForConditionalGeneration"],
            "image_token_index": 5,
            "multimodal_projector_bias": False,
            "projector_hidden_act": "gelu",
            "spatial_merge_size": MERGE,
            "vision_feature_layer": -1,
            "vision_config": {
                **_VISION,
                "head_dim": 16,
                "hidden_act": "silu",
                "rope_theta": 10000.0,
                "image_size": 112,
            },
            "text_config": {"model_type": "mistral", **_TEXT, "sliding_window": None},
        },
        preprocessor={
            **_PREPROCESSOR,
            "patch_size": PATCH * MERGE,
            "size": {"longest_edge": 2 * IMAGE},
            "default_to_square": True,
        },
        processor={
            "image_token": "[IMG]",
            "image_break_token": "[IMG_BREAK]",
            "image_end_token": "[IMG_END]",
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
        },
        clip={"clip.vision.attention.head_count": 4},
    ),
    "qwen2_vl": Family(
        words=_QWEN_WORDS,
        projector="qwen2vl_merger",
        tensors=_qwen2vl,
        architecture="qwen2",
        header="qwen2vl",
        config={
            **_TEXT,
            "architectures": ["Qwen2VLForConditionalGeneration"],
            "rope_scaling": _MROPE,
            "image_token_id": 7,
            "video_token_id": 8,
            "vision_config": {
                **_QWEN_VISION,
                "embed_dim": SEEN,
                "hidden_size": WIDTH,
                "mlp_ratio": DEEP / SEEN,
            },
        },
        preprocessor=_QWEN_PREPROCESSOR,
    ),
    "qwen2_5_vl": Family(
        words=_QWEN_WORDS,
        projector="qwen2.5vl_merger",
        tensors=_qwen25vl,
        architecture="qwen2",
        header="qwen2vl",
        config={
            **_TEXT,
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "rope_scaling": _MROPE,
            "image_token_id": 7,
            "video_token_id": 8,
            "vision_start_token_id": 5,
            "vision_end_token_id": 6,
            "vision_config": {
                **_QWEN_VISION,
                "hidden_size": SEEN,
                "out_hidden_size": WIDTH,
                "intermediate_size": DEEP,
                "window_size": 112,
                "fullatt_block_indexes": [1],
            },
        },
        preprocessor=_QWEN_PREPROCESSOR,
    ),
    "qwen3_vl": Family(
        words=_QWEN_WORDS,
        projector="qwen3vl_merger",
        tensors=_qwen3vl,
        architecture="qwen3",
        header="qwen3vl",
        config={
            "architectures": ["Qwen3VLForConditionalGeneration"],
            "image_token_id": 7,
            "video_token_id": 8,
            "vision_start_token_id": 5,
            "vision_end_token_id": 6,
            "tie_word_embeddings": True,
            "text_config": {"model_type": "qwen3_vl_text", **_TEXT, "rope_scaling": _MROPE},
            "vision_config": {
                **_QWEN_VISION,
                "hidden_size": SEEN,
                "out_hidden_size": WIDTH,
                "intermediate_size": DEEP,
                "num_position_embeddings": (IMAGE // PATCH) ** 2,
                "deepstack_visual_indexes": [0],
            },
        },
        preprocessor=_QWEN_PREPROCESSOR,
        clip={"clip.vision.is_deepstack_layers": [True, False]},
    ),
}
FAMILIES = tuple(_FAMILIES)
"""The families that can be made: `model_type` of config.json."""


def family_of(name: str) -> Family:
    """Return what makes this family."""
    return _FAMILIES[name]


def make_vision_model(directory: Path, family: str = "idefics3", *, base: str | None = None) -> Path:
    """Write model, projector and config files, and return the path of the model.

    `base` is the repository that its header names as its original.
    """
    kind = _FAMILIES[family]
    directory.mkdir(parents=True, exist_ok=True)
    model = make_gguf(
        directory / "model-Q8_0.gguf",
        architecture=kind.architecture,
        header=kind.header,
        vocabulary=VOCABULARY,
        special=kind.words,
        template=CHATML,
        metadata={} if base is None else {"general.base_model.0.repo_url": f"https://huggingface.co/{base}"},
    )
    clip = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "clip.projector_type": kind.projector,
        "clip.has_vision_encoder": True,
        "clip.vision.image_size": IMAGE,
        "clip.vision.patch_size": PATCH,
        "clip.vision.projection_dim": WIDTH,
        **kind.clip,
    }
    write_gguf(directory / "mmproj-model-f16.gguf", clip, list(kind.tensors()))
    contents = {
        "config": {"model_type": family, **kind.config},
        "preprocessor_config": kind.preprocessor,
        "processor_config": kind.processor,
    }
    for name, content in contents.items():
        if content:
            (directory / f"{name}.json").write_text(json.dumps(content))
    return model
