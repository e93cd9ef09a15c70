"""Create small random models that see: a GGUF, its projector and the config files of its base model.

    make_vision_gguf(tmp_path / "smol", "idefics3")

The weights are noise, so replies are nonsense.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from spnl_tui.models.files.gguf_noise import Tensor, write_gguf
from tests.support.gguf_maker import make_gguf

VISION_WIDTH, VISION_LAYERS, PATCH, IMAGE = 64, 2, 14, 56
"""The shape of the vision tower: images of 56 pixels, in patches of 14."""
WIDTH, LAYERS, VOCABULARY, SCALE = 256, 2, 640, 2

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ 'IMAGE' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


FAMILIES = ("idefics3",)


def make_vision_model(directory: Path, family: str = "idefics3", *, base: str | None = None) -> Path:
    """Write model, projector and config files, and return the path of the model.

    `base` is the repository that its header names as its original.
    """
    directory.mkdir(parents=True, exist_ok=True)
    special = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    special += [f"<row_{row}_col_{col}>" for row in range(1, 5) for col in range(1, 5)]
    model = make_gguf(
        directory / "model-Q8_0.gguf",
        vocabulary=VOCABULARY,
        special=tuple(special),
        template=TEMPLATE.replace("IMAGE", "<image>"),
        matrix="Q8_0",
        metadata={} if base is None else {"general.base_model.0.repo_url": f"https://huggingface.co/{base}"},
    )
    write_gguf(
        directory / "mmproj-model-f16.gguf",
        {
            "general.architecture": "clip",
            "general.type": "mmproj",
            "clip.projector_type": "idefics3",
            "clip.has_vision_encoder": True,
            "clip.vision.image_size": IMAGE,
            "clip.vision.patch_size": PATCH,
            "clip.vision.projector.scale_factor": SCALE,
        },
        [*_siglip(), Tensor("mm.model.fc.weight", (VISION_WIDTH * SCALE**2, WIDTH), "F16")],
    )
    config = {
        "architectures": ["Idefics3ForConditionalGeneration"],
        "model_type": "idefics3",
        "image_token_id": 5,
        "scale_factor": SCALE,
        "vision_config": {
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 128,
            "num_hidden_layers": VISION_LAYERS,
            "num_attention_heads": 4,
            "num_channels": 3,
            "image_size": IMAGE,
            "patch_size": PATCH,
            "hidden_act": "gelu_pytorch_tanh",
            "layer_norm_eps": 1e-6,
        },
        "text_config": {
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": WIDTH,
            "intermediate_size": 512,
            "vocab_size": VOCABULARY,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
        },
    }
    preprocessor = {
        "image_processor_type": "Idefics3ImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "do_pad": True,
        "do_image_splitting": True,
        "rescale_factor": 1 / 255,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "max_image_size": {"longest_edge": IMAGE},
        "size": {"longest_edge": 2 * IMAGE},
        "resample": 1,
    }
    processor = {"image_seq_len": (IMAGE // PATCH // SCALE) ** 2, "processor_class": "Idefics3Processor"}
    for name, content in (
        ("config", config),
        ("preprocessor_config", preprocessor),
        ("processor_config", processor),
    ):
        (directory / f"{name}.json").write_text(json.dumps(content))
    return model


def _siglip() -> Iterator[Tensor]:
    width = VISION_WIDTH
    yield Tensor("v.patch_embd.weight", (PATCH, PATCH, 3, width), "F16")
    yield Tensor("v.patch_embd.bias", (width,), "F32", 0.0)
    yield Tensor("v.position_embd.weight", (width, (IMAGE // PATCH) ** 2), "F32")
    yield Tensor("v.post_ln.weight", (width,), "F32", 1.0)
    yield Tensor("v.post_ln.bias", (width,), "F32", 0.0)
    for layer in range(VISION_LAYERS):
        p = f"v.blk.{layer}."
        for name, row, rows in (
            ("attn_q", width, width),
            ("attn_k", width, width),
            ("attn_v", width, width),
            ("attn_out", width, width),
            ("ffn_up", width, 128),
            ("ffn_down", 128, width),
        ):
            yield Tensor(f"{p}{name}.weight", (row, rows), "F16")
            yield Tensor(f"{p}{name}.bias", (rows,), "F32", 0.0)
        for name in ("ln1", "ln2"):
            yield Tensor(f"{p}{name}.weight", (width,), "F32", 1.0)
            yield Tensor(f"{p}{name}.bias", (width,), "F32", 0.0)
