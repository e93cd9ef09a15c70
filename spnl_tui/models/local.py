"""A model whose files are on this disk: what the engine is given to load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Format = Literal["gguf", "safetensors"]


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model ready to be loaded.

    `name` is the canonical reference that the user sees. `files` are relative to `directory`: for GGUF
    the shards in their order; for safetensors it is empty, since the engine reads the directory.
    """

    name: str
    format: Format
    directory: Path
    files: tuple[str, ...] = ()
