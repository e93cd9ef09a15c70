"""Converts between local models and handles, and describes the load that is stored with each reply."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import cast

from spnl_tui.engine.backend import Capabilities, ModelHandle
from spnl_tui.engine.mistralrs import BACKEND
from spnl_tui.engine.mistralrs.load_plan import LoadPlan
from spnl_tui.models.facts import Format
from spnl_tui.models.files.local import LocalModel, sees
from spnl_tui.models.files.sampling import recommended_sampling

_CAPABILITIES = Capabilities(
    continues_text=True,
    continues_replies=True,
    counts_tokens=True,
    reports_prefill=True,
    grammars=True,
    tools=True,
    thinking=True,
    unloads=True,
)
_RECORDED = (
    "device",
    "dtype",
    "threads",
    "in_situ_quantization",
    "pad_rows",
    "prefix_cache",
    "paged_attention",
    "max_sequences",
    "context",
)
"""The parts of a load plan that can change a reply or its speed."""


def to_handle(model: LocalModel) -> ModelHandle:
    """Return the handle of a model on this disk. Reads the cache's links and the beginning of the header."""
    revision, file_sha256 = origin_in_cache(model)
    return ModelHandle(
        name=model.name,
        backend=BACKEND,
        key=(model.format, str(model.directory), model.projector, *model.files),
        capabilities=replace(_CAPABILITIES, vision=sees(model)),
        revision=revision,
        file_sha256=file_sha256,
        recommended_sampling=recommended_sampling(model),
        engine_version=_engine_version(),
    )


def to_local(handle: ModelHandle) -> LocalModel:
    """Return the local model of a handle made by `to_handle`."""
    format, directory, projector, *files = handle.key
    return LocalModel(handle.name, cast(Format, format), Path(directory), tuple(files), projector)


def origin_in_cache(model: LocalModel) -> tuple[str | None, str | None]:
    """Return the revision and the SHA-256 of a model in a cache; for shards, the hashes joined by spaces.

    Both come from names: of the directory snapshots/REVISION, and of the blobs that its links lead to. Both
    are None outside a cache, because hashing gigabytes takes too long.
    """
    revision = next(
        (part for part in reversed(model.directory.parts) if re.fullmatch("[0-9a-f]{40}", part)), None
    )
    # Ollama prefixes the file's name with that of the hash.
    blobs = [(model.directory / file).resolve().name.removeprefix("sha256-") for file in model.files]
    known = bool(blobs) and all(re.fullmatch("[0-9a-f]{64}", name) for name in blobs)
    return revision, " ".join(blobs) if known else None


def plan_as_json(plan: LoadPlan) -> str:
    """Return the parts of a load plan that are stored with each reply."""
    return json.dumps({name: getattr(plan, name) for name in _RECORDED})


def _engine_version() -> str | None:
    try:
        return metadata.version("mistralrs")
    except metadata.PackageNotFoundError:
        return None
