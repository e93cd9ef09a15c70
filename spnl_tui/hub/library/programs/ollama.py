"""Reads Ollama's models: manifests that refer to blobs by hash. Blocks, so call it in a thread.

    <models>/manifests/<registry>/<namespace>/<model>/<tag>   JSON with `config` and `layers`
            /blobs/sha256-<hex>                               their content; before 0.1.24 sha256:<hex>

Sources: Ollama's manifest/manifest.go, manifest/paths.go and types/model/name.go (the parts of names that
Ollama omits: registry.ollama.ai and library), envconfig/config.go (OLLAMA_MODELS), server/images.go (the
media types of layers).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spnl_tui.errors import ModelFileError
from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.models.reference import ModelReference

_LAYER = "application/vnd.ollama.image."
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_HIDDEN = ("registry.ollama.ai", "library")
"""The registry and namespace that Ollama omits from names."""
_LARGEST_JSON = 1 << 20
_LARGEST_TEXT = 1 << 20


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """A model as its manifest describes it."""

    name: str
    """The name as in `ollama list`, such as `llama3.2:1b` or `hf.co/ORG/NAME:Q4_K_M`."""
    manifest: Path
    weights: tuple[Path, ...]
    projectors: tuple[Path, ...]
    adapters: tuple[Path, ...]
    texts: Mapping[str, Path]
    """The files of the layers "template", "system" and "params", if there are any."""
    config: Path | None
    key: tuple[str, ...]
    """The digests of all layers. Names with the same key mean the same model."""

    @property
    def system(self) -> str:
        """Return the system prompt; empty if the model has none."""
        return self._text("system").strip()

    @property
    def template(self) -> str:
        """Return the prompt template, in the language of Go's text/template; empty if the model has none."""
        return self._text("template")

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters by Ollama's names, such as `temperature` and `stop`."""
        try:
            value = json.loads(self._text("params") or "{}")
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def _text(self, kind: str) -> str:
        if (path := self.texts.get(kind)) is None:
            return ""
        with path.open("rb") as file:
            return file.read(_LARGEST_TEXT).decode("utf-8", "replace")


def read_models(folder: Path) -> Iterator[OllamaModel]:
    """Yield the complete models in this folder by name, skipping unreadable manifests."""
    root = folder / "manifests"
    for directory, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            parts = Path(directory, name).relative_to(root).parts
            if len(parts) >= 2 and (model := _read_manifest(folder, Path(directory, name), parts)):
                yield model


def find_model(folders: list[Path], name: str) -> OllamaModel | None:
    """Return the model with this name, whose tag is `latest` by default; None if there is none."""
    wanted = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    for folder in folders:
        for model in read_models(folder):
            if model.name.casefold() == wanted.casefold():
                return model
    return None


def ollama_entries(folder: Path) -> list[LibraryEntry]:
    """Return the models in this folder that consist of one GGUF, each under only one of its names."""
    by_key: dict[tuple[str, ...], OllamaModel] = {}
    for model in read_models(folder):
        other = by_key.get(model.key)
        # Prefer other names, because `latest` says least.
        if other is None or other.name.endswith(":latest"):
            by_key[model.key] = model
    return [entry for model in by_key.values() if (entry := entry_of(model)) is not None]


def entry_of(model: OllamaModel) -> LibraryEntry | None:
    """Return a model as a library entry; None if it is not a single GGUF."""
    if len(model.weights) != 1 or not _is_gguf(model.weights[0]):
        return None
    blob = model.weights[0]
    status = blob.stat()
    return LibraryEntry(
        reference=ModelReference(ollama=model.name),
        label=_file_type(model) or "GGUF",
        format="gguf",
        directory=blob.parent,
        files=(blob.name,),
        size_bytes=status.st_size,
        used=datetime.fromtimestamp(max(status.st_atime, status.st_mtime), UTC),
        origin="ollama",
        projector=str(model.projectors[0]) if model.projectors else "",
    )


def check_adapters(model: OllamaModel) -> None:
    """Refuse a base model with adapters, because without them it would be a different model.

    Raises:
        ModelFileError: the model has adapters. The message lists them.
    """
    if model.adapters:
        raise ModelFileError(
            "The model needs an adapter",
            f"{model.name} is {model.weights[0]} with {', '.join(str(path) for path in model.adapters)}. "
            "spnl-chat cannot apply adapters to a GGUF.",
            f"To run it without the adapter: -m {model.weights[0]}",
        )


def _read_manifest(folder: Path, manifest: Path, parts: tuple[str, ...]) -> OllamaModel | None:
    value = _read_json(manifest)
    layers = value.get("layers") if isinstance(value, dict) else None
    if not isinstance(layers, list):
        return None
    found: dict[str, list[Path]] = {}
    digests = []
    for layer in layers:
        kind, digest = (layer.get("mediaType"), layer.get("digest")) if isinstance(layer, dict) else (0, 0)
        if not isinstance(kind, str) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            return None
        digests.append(digest)
        if kind.startswith(_LAYER):
            if (blob := _blob(folder, digest)) is None:
                return None  # the pull is in progress, or the file is damaged
            found.setdefault(kind.removeprefix(_LAYER), []).append(blob)
    if "model" not in found:
        return None
    config = value["config"].get("digest") if isinstance(value.get("config"), dict) else None
    return OllamaModel(
        name=_name(parts),
        manifest=manifest,
        weights=tuple(found["model"]),
        projectors=tuple(found.get("projector", ())),
        adapters=tuple(found.get("adapter", ())),
        texts={kind: found[kind][-1] for kind in ("template", "system", "params") if kind in found},
        config=_blob(folder, config) if isinstance(config, str) and _DIGEST.fullmatch(config) else None,
        key=tuple(digests),
    )


def _name(parts: tuple[str, ...]) -> str:
    *place, model, tag = parts
    for hidden in _HIDDEN:
        if place[:1] == [hidden]:
            place = place[1:]
    return "/".join([*place, f"{model}:{tag}"])


def _blob(folder: Path, digest: str) -> Path | None:
    for name in (digest.replace(":", "-"), digest):
        if (path := folder / "blobs" / name).is_file():
            return path
    return None


def _is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _file_type(model: OllamaModel) -> str:
    value = _read_json(model.config) if model.config else None
    kind = value.get("file_type") if isinstance(value, dict) else None
    return kind[:40] if isinstance(kind, str) else ""


def _read_json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return json.loads(file.read(_LARGEST_JSON))
    except (OSError, ValueError, RecursionError):
        return None
