"""Reads the sampling that a model's authors recommend from its files.

Sources: `general.sampling.*` of a GGUF (gguf-py/gguf/constants.py of llama.cpp), generation_config.json of a
safetensors model (`GenerationConfig` of transformers).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeAlias

from spnl_tui.errors import ModelFileError, RequestError
from spnl_tui.models.files.gguf import file_source
from spnl_tui.models.files.gguf_header import HeaderReader
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.request import Sampling
from spnl_tui.text_files import UnreadableFileError, read_text_file

Recommended: TypeAlias = tuple[tuple[str, float | int], ...]
"""Names of Sampling fields with their values."""

_PREFIX = "general.sampling."
_GGUF = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repetition_penalty",
}
_CONFIG = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
_MAX_CONFIG_BYTES = 1_000_000


def recommended_sampling(model: LocalModel) -> Recommended:
    """Return the recommended values; empty if the model has none or its files cannot be read.

    Values out of range are left out. For a GGUF, only the beginning of the header is read, where `general.*`
    is.
    """
    try:
        found = dict(_of_gguf(model) if model.files else _of_config(model))
    except (OSError, ModelFileError, UnreadableFileError, ValueError, RecursionError):
        return ()  # loading reports the damage
    return tuple((name, value) for name, value in found.items() if _is_valid(name, value))


def _of_gguf(model: LocalModel) -> Iterator[tuple[str, Any]]:
    file = model.directory / model.files[0]
    with file.open("rb") as stream:
        for value in HeaderReader(file_source(file, stream)).values():
            if not value.key.startswith("general."):
                return
            if value.key.startswith(_PREFIX) and (name := _GGUF.get(value.key.removeprefix(_PREFIX))):
                yield name, value.value


def _of_config(model: LocalModel) -> Iterator[tuple[str, Any]]:
    file = model.directory / "generation_config.json"
    if not file.exists():
        return
    values = json.loads(read_text_file(file, _MAX_CONFIG_BYTES))
    if isinstance(values, dict):
        yield from ((name, values[name]) for name in _CONFIG if values.get(name) is not None)


def _is_valid(name: str, value: Any) -> bool:
    if name not in {field.name for field in fields(Sampling)} or isinstance(value, bool):
        return False
    changed: dict[str, Any] = {name: value}
    try:
        Sampling(**changed)
    except (RequestError, TypeError):
        return False
    return True
