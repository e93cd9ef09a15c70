"""A home directory with the models of other programs, in the layouts of hub/library/programs/places.py.

`gguf` is hard-linked wherever a program would have its own copy.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

_IMAGE = "application/vnd.ollama.image."


def add_all(home: Path, gguf: Path) -> dict[str, str]:
    """Put a model of every program below `home`. Return the origin that each name must be listed with."""
    expected = {}
    add_ollama(home / ".ollama/models", "library/smol/135m", gguf, system="You are a pirate.")
    expected["ollama:smol:135m"] = "ollama"
    link(gguf, home / ".lmstudio/models/lmstudio-community/Smol-GGUF/Smol-Q4_1.gguf")
    expected["lmstudio-community/Smol-GGUF:Q4_1"] = "lm-studio"
    link(gguf, home / ".cache/lm-studio/models/old/Smol-GGUF/Smol-Q8_0.gguf")
    expected["old/Smol-GGUF:Q8_0"] = "lm-studio"
    moved = home / "elsewhere"
    write(home / ".lmstudio/settings.json", json.dumps({"downloadsFolder": str(moved)}))
    link(gguf, moved / "moved/Smol-GGUF/Smol-F16.gguf")
    expected["moved/Smol-GGUF:F16"] = "lm-studio"
    for origin, path in {
        "llama.cpp": ".cache/llama.cpp/ggml-org_smol-GGUF_smol-Q4_1.gguf",
        "jan": ".local/share/Jan/data/llamacpp/models/Smol-Q4_1/model.gguf",
        "gpt4all": ".local/share/nomic.ai/GPT4All/smol-q4_1.gguf",
        "text-generation-webui": "text-generation-webui/user_data/models/smol.gguf",
        "koboldcpp": "koboldcpp/smol.gguf",
    }.items():
        link(gguf, home / path)
        expected[str(home / path)] = origin
    write(home / ".cache/llama.cpp/manifest=ggml-org=smol-GGUF=latest.json", "{}")
    write(home / ".local/share/Jan/data/llamacpp/models/Smol-Q4_1/model.yml", "name: Smol\nsize_bytes: 1\n")
    write(home / "koboldcpp/smol.kcpps", json.dumps({"model_param": str(home / "koboldcpp/smol.gguf")}))
    # Nothing of this is a whole model.
    write(home / ".local/share/nomic.ai/GPT4All/incomplete-other.gguf", "GGUF")
    write(home / ".cache/llama.cpp/other.gguf.downloadInProgress", "GGUF")
    write(
        home / ".lmstudio/models/some/Broken-GGUF/pointer.gguf",
        "version https://git-lfs.github.com/spec/v1\n",
    )
    return expected


def add_ollama(
    models: Path,
    name: str,
    gguf: Path,
    *,
    registry: str = "registry.ollama.ai",
    system: str = "",
    parameters: dict[str, Any] | None = None,
    template: str = "",
    adapter: bytes = b"",
) -> Path:
    """Add a model as `ollama pull` and `ollama create` would, and return its manifest."""
    layers = [_layer(models, "model", gguf)]
    texts = {"template": template, "system": system, "params": json.dumps(parameters) if parameters else ""}
    layers += [_layer(models, kind, text.encode()) for kind, text in texts.items() if text]
    if adapter:
        layers.append(_layer(models, "adapter", adapter))
    config = {"model_format": "gguf", "model_family": "llama", "model_type": "135M", "file_type": "Q4_1"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": _layer(models, "config", json.dumps(config).encode()),
        "layers": layers,
    }
    return write(models / "manifests" / registry / name, json.dumps(manifest))


def hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 and the times of every file below the root."""
    found = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found[str(path.relative_to(root))] = f"{digest} {path.stat().st_mtime_ns}"
    return found


def link(source: Path, target: Path) -> Path:
    """Hard-link a file, as a program's own copy of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(source, target)
    return target


def write(path: Path, text: str) -> Path:
    """Write a text file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _layer(models: Path, kind: str, content: bytes | Path) -> dict[str, Any]:
    if isinstance(content, Path):
        with content.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    else:
        digest = hashlib.sha256(content).hexdigest()
    blob = models / "blobs" / f"sha256-{digest}"
    if not blob.exists():
        blob.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            os.link(content, blob)
        else:
            blob.write_bytes(content)
    size = blob.stat().st_size
    return {"mediaType": f"{_IMAGE}{kind}", "digest": f"sha256:{digest}", "size": size}
