"""Finds the files that a GGUF needs to read images: its projector (mmproj) and its original model's config
files.

mistral.rs loads a GGUF with a projector only with the original config.json and preprocessor_config.json. They
lie beside the GGUF, or in the Hugging Face cache under the repository that the header names.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

from spnl_tui.errors import ModelFileError, cause_of
from spnl_tui.models.files.gguf_header import HeaderReader, Source
from spnl_tui.models.files.not_models import PROJECTOR, kind_by_name
from spnl_tui.models.vision import BASE_FILES, read_vision

PAIRS = {
    "gemma3": "gemma3", "gemma3nv": "gemma3n", "gemma4v": "gemma4", "gemma4uv": "gemma4", "idefics3": "llama",
    "pixtral": "mistral3", "llama4": "llama4", "lfm2": "lfm2", "muse-glimmer": "muse-glimmer",
}  # fmt: skip
"""Projector type → architecture of its models, from mistral.rs (gguf/multimodal_vision_registry.rs)."""
_QWEN = {
    "qwen2vl_merger": ("qwen2vl",),
    "qwen2.5vl_merger": ("qwen2vl",),
    "qwen3vl_merger": ("qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe"),
}
AnyPath = TypeVar("AnyPath", bound=PurePath)
_ORDER = ("f16", "bf16", "q8_0", "f32")


@dataclass(frozen=True, slots=True)
class Projector:
    """A projector file and the models it fits."""

    path: Path
    type: str
    width: int | None
    """The embedding width of the models it fits."""
    bytes: int

    def suits(self, architecture: str, width: int | None) -> bool:
        """Return True if the projector fits models with this architecture and embedding width."""
        architectures = _QWEN.get(self.type) or (PAIRS.get(self.type, ""),)
        alike = self.width is None or width is None or self.width == width
        # Qwen 3 VL also passes on features of deeper layers, so its width is a multiple.
        return architecture in architectures and (alike or self.type.startswith("qwen3"))


def read_projector(path: Path) -> Projector:
    """Read the header of a projector.

    Raises:
        ModelFileError: the file is not a projector, or cannot be read.
    """
    values: dict[str, Any] = {}
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)

            def read(offset: int, length: int) -> bytes:
                stream.seek(offset)
                return stream.read(length)

            for value in HeaderReader(Source(str(path), size, read)).values():
                values[value.key] = value.value
    except OSError as error:
        raise ModelFileError(
            "The projector cannot be read", f"{path}: {cause_of(error)}.", "Check the path."
        ) from error
    kind = values.get("clip.projector_type") or values.get("clip.vision.projector_type")
    if not isinstance(kind, str):
        raise ModelFileError(
            "Not a projector",
            f"{path} does not name a projector type.",
            "Choose the mmproj file that belongs to the model.",
        )
    width = values.get("clip.vision.projection_dim")
    return Projector(path, kind, width if isinstance(width, int) else None, size)


def projectors_in(folder: Path) -> list[Path]:
    """Return the projectors in a directory, best first: 16-bit floats, then Q8_0, then F32."""
    try:
        files = [file for file in folder.iterdir() if file.suffix.lower() == ".gguf"]
    except OSError:
        return []
    return best_first(file for file in files if kind_by_name(file.name) == PROJECTOR and file.is_file())


def best_first(files: Iterable[AnyPath]) -> list[AnyPath]:
    """Sort projectors by preference."""

    def rank(file: PurePath) -> tuple[int, str]:
        words = re.split(r"[-.]", file.name.lower())
        return next((place for place, word in enumerate(_ORDER) if word in words), len(_ORDER)), file.name

    return sorted(files, key=rank)


def find_projector(folder: Path, architecture: str, width: int | None) -> Projector | None:
    """Return the best projector in a directory for this model; None if there is none."""
    for path in projectors_in(folder):
        with contextlib.suppress(ModelFileError):  # skip damaged files
            projector = read_projector(path)
            if projector.suits(architecture, width):
                return projector
    return None


def base_folder(gguf: Path, base: str | None) -> Path | None:
    """Return the directory with the original model's config files; None if the files are not on this disk.

    `base` is the repository that the GGUF names as its original.
    """
    if read_vision(gguf.parent) is not None:
        return gguf.parent
    cache = next((parent.parent for parent in gguf.parents if parent.name.startswith("models--")), None)
    if cache is None or base is None:
        return None
    snapshots = cache / f"models--{base.replace('/', '--')}" / "snapshots"
    with contextlib.suppress(OSError):
        for snapshot in sorted(snapshots.iterdir(), key=lambda each: each.stat().st_mtime, reverse=True):
            if read_vision(snapshot) is not None:
                return snapshot
    return None


def base_repository(values: dict[str, Any]) -> str | None:
    """Return the repository of the original model that a GGUF's header names, as "owner/name"."""
    url = values.get("general.base_model.0.repo_url")
    match = (
        re.fullmatch(r"https?://huggingface\.co/([\w.-]+/[\w.-]+)/?", url) if isinstance(url, str) else None
    )
    return match[1] if match else None


def missing_base(base: str | None) -> str:
    """Return why a model with a projector cannot read images, without its original config files."""
    names = " and ".join(BASE_FILES[:2])
    if base:
        return f"{names} of {base} are not on this disk"
    return f"{names} of its original model are not in its directory"
