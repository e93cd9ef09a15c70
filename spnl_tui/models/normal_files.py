"""The files of a safetensors repository that mistral.rs reads in normal loading (`Which.Plain`)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_INDEX = "model.safetensors.index.json"
_SINGLE = ("model.safetensors", "consolidated.safetensors")
_SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tekken.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "processor_config.json",
    "preprocessor_config.json",
)


def files_of_normal_model(paths: Iterable[str]) -> tuple[str, ...]:
    """The files to pull of a repository that holds these paths; empty if it has no weights in safetensors.

    Only files at the top of the repository count. Weights often come twice: of shards, one file, and
    Mistral's own `consolidated.safetensors`, only the first that is there is taken, since mistral.rs would
    read them all. The pattern of the names is that of mistral.rs (pipeline/paths.rs).
    """
    top = {path for path in paths if "/" not in path}
    shards = sorted(path for path in top if _SHARD.fullmatch(path))
    if shards and (_INDEX in top or "model.safetensors" not in top):
        weights = [_INDEX, *shards] if _INDEX in top else shards
    else:
        weights = [path for path in _SINGLE if path in top][:1]
    if not weights:
        return ()
    # What is small and may turn out to be missing or wrong comes first.
    return (*(path for path in _SIDE_FILES if path in top), *weights)
