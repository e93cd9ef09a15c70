"""Recognizes GGUF files by their first bytes, regardless of their names."""

from __future__ import annotations

import os

_MAGIC = b"GGUF"
"""The first bytes of a GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""
_OTHERS = (
    ".json", ".jsonl", ".txt", ".md", ".yml", ".yaml", ".toml", ".ini", ".py", ".sh", ".log", ".html",
    ".css", ".js", ".png", ".jpg", ".jpeg", ".webp", ".svg", ".zip", ".gz", ".safetensors", ".pt", ".pth",
    ".onnx", ".jinja", ".model", ".lock", ".db", ".sqlite", ".etag", ".kcpps",
)  # fmt: skip
"""Suffixes of files that are never GGUFs, so they need not be opened."""
_PARTIAL = (".part", ".partial", ".tmp", ".incomplete", ".download", ".downloadinprogress", ".crdownload")


def may_be_gguf(name: str) -> bool:
    """Return True if a file with this name may be a complete GGUF."""
    lower = name.lower()
    partial = lower.startswith((".", "incomplete-", "downloading_")) or lower.endswith(_PARTIAL)
    return not partial and not lower.endswith(_OTHERS)


def is_gguf(path: str | os.PathLike[str]) -> bool:
    """Return True if the file is readable and begins like a GGUF."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False
