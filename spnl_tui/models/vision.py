"""The facts of a vision model: how prompts name an image, and how many tokens an image takes.

The rules are those of mistral.rs's image processors (mistralrs-core/src/vision_models/*/inputs_processor.rs).
mistral.rs has no function to count these tokens. Standard library only, because the runner imports it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

BASE_FILES = ("config.json", "preprocessor_config.json", "processor_config.json")
"""The files of the original repository that mistral.rs needs beside a GGUF with a projector."""
_MAX_JSON = 8 << 20

_QWEN = "<|vision_start|><|image_pad|><|vision_end|>"
_PLACEHOLDERS: Mapping[str, str] = {
    "idefics2": "<image>",
    "idefics3": "<image>",
    "smolvlm": "<image>",
    "gemma3": "<start_of_image>",
    "gemma3n": "<image_soft_token>",
    "gemma4": "<|image|>",
    "gemma4_unified": "<|image|>",
    "mistral3": "[IMG]",
    "qwen2_vl": _QWEN,
    "qwen2_5_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "qwen3_vl_moe": _QWEN,
    "qwen3_5": _QWEN,
    "qwen3_5_moe": _QWEN,
    "llama4": "<|image|>",
    "mllama": "<|image|>",
    "lfm2_vl": "<image>",
    "lfm2-vl": "<image>",
    "llava": "<image>",
    "llava_next": "<image>",
    "phi3_v": "<|image_{number}|>",
    "phi4mm": "<|image_{number}|>",
    "minicpmo": "(<image>./</image>)",
}
"""The placeholder of an image in a prompt, by `model_type` of config.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionRule:
    """How one model reads images."""

    family: str
    """`model_type` of config.json."""
    placeholder: str
    """The placeholder of an image in a prompt; `{number}` is replaced by the image's number, from 1."""
    per_image: int | None = None
    """Tokens of every image; None if they depend on its size."""
    tile: int = 0
    """Side of a tile in pixels, or of the square behind one token."""
    tile_tokens: int = 0
    """Tokens of a tile; for Mistral 3, the side in pixels of the square behind one token."""
    longest_edge: int = 0
    """Images are scaled down to this many pixels on the longer edge."""
    least_pixels: int = 0
    most_pixels: int = 0
    exact: bool = True
    """False if the number of tokens is only estimated."""

    def image_tokens(self, width: int, height: int) -> int:
        """Return the tokens of an image with this size in pixels, including its markers."""
        width, height = width or 1024, height or 1024
        if self.per_image is not None:
            return self.per_image
        if self.family in ("idefics3", "smolvlm"):
            return self._tiled(width, height)
        if self.family == "mistral3":
            ratio = max(width / self.longest_edge, height / self.longest_edge, 1.0)
            columns, rows = (int(side / ratio - 1) // self.tile + 1 for side in (width, height))
            columns, rows = (int(side * self.tile) // self.tile_tokens for side in (columns, rows))
            return rows * (columns + 1)
        rows, columns = self._smart_size(width, height)
        return rows * columns + 2

    def _tiled(self, width: int, height: int) -> int:
        """Count the tiles into which an image is scaled and cut, and one more for the whole image."""
        alone = self.tile_tokens + 3
        if not self.tile:
            return alone
        scale = self.longest_edge / max(width, height)
        longer, shorter = self.longest_edge, round(min(width, height) * scale)
        shorter = max(1, shorter + shorter % 2)
        # As in resize_for_vision_encoder: both sides become multiples of the tile size.
        longer_tiles = math.ceil(longer / self.tile)
        ratio = longer / shorter
        shorter_tiles = max(1, math.ceil(int(longer_tiles * self.tile / ratio) / self.tile))
        if longer_tiles == shorter_tiles == 1:
            return alone
        rows = shorter_tiles if width >= height else longer_tiles
        return longer_tiles * shorter_tiles * (self.tile_tokens + 2) + rows + alone

    def _smart_size(self, width: int, height: int) -> tuple[int, int]:
        """Return the rows and columns of tokens after Qwen's `smart_resize`."""
        unit = self.tile
        tall, wide = (max(unit, round(side / unit) * unit) for side in (height, width))
        if self.most_pixels and tall * wide > self.most_pixels:
            scale = math.sqrt(height * width / self.most_pixels)
            tall, wide = (max(unit, math.floor(side / scale / unit) * unit) for side in (height, width))
        elif tall * wide < self.least_pixels:
            scale = math.sqrt(self.least_pixels / (height * width))
            tall, wide = (math.ceil(side * scale / unit) * unit for side in (height, width))
        return tall // unit, wide // unit


@dataclass(frozen=True, slots=True)
class VisionFiles:
    """The files that a model needs to read images, besides its weights."""

    rule: VisionRule
    folder: Path
    """The directory of the config files."""
    projector: Path | None = None
    """None for safetensors, which include the projector."""
    projector_bytes: int = 0


def read_vision(folder: Path) -> VisionRule | None:
    """Return the image rule of the model with these config files; None if it reads no images or this is
    unknown."""
    return vision_rule_of([_read(folder / name) for name in BASE_FILES])


def vision_rule_of(files: Sequence[bytes]) -> VisionRule | None:
    """Return the image rule from the contents of BASE_FILES, which are empty if missing."""
    config, preprocessor, processor = map(_object, files)
    image = processor.get("image_processor")
    if isinstance(image, dict):
        preprocessor = {**image, **preprocessor}
    return vision_rule(config, preprocessor, processor)


def vision_rule(
    config: Mapping[str, Any], preprocessor: Mapping[str, Any], processor: Mapping[str, Any]
) -> VisionRule | None:
    """Return the image rule of these config files; None if the model reads no images."""
    family = str(config.get("model_type", ""))
    placeholder = _PLACEHOLDERS.get(family)
    vision = config.get("vision_config")
    if placeholder is None or not isinstance(vision, dict) or not preprocessor:
        return None
    size = preprocessor.get("size")
    size = size if isinstance(size, dict) else {}

    def number(source: Mapping[str, Any], key: str, default: int) -> int:
        value = source.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    rule = partial(VisionRule, family=family, placeholder=placeholder)
    if family in ("idefics3", "smolvlm"):
        most = preprocessor.get("max_image_size")
        tile = number(most, "longest_edge", 364) if isinstance(most, dict) else 364
        return rule(
            tile=tile if preprocessor.get("do_image_splitting", True) else 0,
            tile_tokens=number(processor, "image_seq_len", 169),
            longest_edge=number(size, "longest_edge", 4 * tile),
        )
    if family == "gemma3":
        tokens = number(processor, "image_seq_length", number(processor, "image_seq_len", 256))
        return rule(per_image=tokens + 4)
    if family == "gemma3n":
        return rule(per_image=number(config, "vision_soft_tokens_per_image", 256) + 4)
    if family.startswith("gemma4"):
        tokens = number(config, "vision_soft_tokens_per_image", 280)
        return rule(per_image=tokens + 2, exact=False)
    if family == "mistral3":
        patch = number(processor, "patch_size", number(vision, "patch_size", 14))
        merge = number(processor, "spatial_merge_size", number(config, "spatial_merge_size", 2))
        return rule(
            tile=number(preprocessor, "patch_size", patch),
            tile_tokens=patch * merge,
            longest_edge=number(size, "longest_edge", 1540),
        )
    if family.startswith("qwen"):
        patch = number(preprocessor, "patch_size", number(vision, "patch_size", 14))
        unit = patch * number(preprocessor, "merge_size", 2)
        return rule(
            tile=unit,
            least_pixels=number(preprocessor, "min_pixels", number(size, "shortest_edge", 0)),
            most_pixels=number(preprocessor, "max_pixels", number(size, "longest_edge", 0)),
        )
    return rule(tile=28, exact=False)


def _read(file: Path) -> bytes:
    """Return the contents of a file; empty if it cannot be read."""
    try:
        return b"" if file.stat().st_size > _MAX_JSON else file.read_bytes()
    except OSError:
        return b""


def _object(text: bytes) -> dict[str, Any]:
    """Parse a JSON object; return an empty one if the text is not an object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
