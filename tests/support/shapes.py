"""Shapes of small published models, for `make_gguf`, whose rows need padding."""

from __future__ import annotations

from typing import Any

# As SmolLM2-360M: the width is no multiple of the heads' after padding.
NARROW: dict[str, Any] = {"width": 960, "feed_forward": 1280, "heads": 15, "kv_heads": 5}
# As Qwen2.5-0.5B, but for the layers: 14 heads become 16, and the width 1,024.
QWEN: dict[str, Any] = {
    "architecture": "qwen2", "width": 896, "feed_forward": 1216, "heads": 14, "kv_heads": 2,
    "output": "Q8_0", "pre_tokenizer": "qwen2",
}  # fmt: skip

# As Gemma 3 1B, but for the layers and the heads' width.
GEMMA: dict[str, Any] = {
    "architecture": "gemma3", "width": 1152, "feed_forward": 1280,
    "heads": 4, "kv_heads": 1, "head_width": 64,
}  # fmt: skip
