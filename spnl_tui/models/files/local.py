"""Models whose files are on this disk, ready to load."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from spnl_tui.errors import ModelFileError, cause_of
from spnl_tui.models.facts import Format, ModelFacts, clean
from spnl_tui.models.files.gguf import read_file_facts
from spnl_tui.models.files.not_models import kind_by_name, why_nothing_loads
from spnl_tui.models.files.projector import (
    base_folder,
    find_projector,
    missing_base,
    projectors_in,
    read_projector,
)
from spnl_tui.models.files.safetensors import read_directory_facts
from spnl_tui.models.vision import VisionFiles, read_vision

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model ready to be loaded.

    `name` is the canonical reference that the user sees. `files`, relative to `directory`, are the GGUF
    shards in order, or empty for safetensors, for which the engine reads the directory.
    """

    name: str
    format: Format
    directory: Path
    files: tuple[str, ...] = ()
    projector: str = ""
    """The path of the projector that the user chose; empty to use one beside the GGUF."""


def resolve_local(path: Path, name: str | None = None) -> LocalModel:
    """Return the model at this path: a GGUF, one of its shards, or a directory with a GGUF or safetensors.

    Reads and checks headers (at most a fraction of a second), so that a truncated file is rejected before it
    is loaded. `name` defaults to the absolute path.

    Raises:
        ModelFileError: there is no model, more than one, or the model is damaged.
    """
    path = Path(path).expanduser().absolute()
    if path.is_dir():
        model = _in_directory(path, name or str(path))
    elif path.is_file():
        model = _in_file(path, name or str(path))
    elif path.exists():
        raise ModelFileError(
            "Not a model", f"{path} is neither a file nor a directory.", "Choose a .gguf file."
        )
    else:
        raise ModelFileError("No such model file", f"{path} does not exist.", "Check the path.")
    read_local_facts(model)
    return model


def read_local_facts(model: LocalModel) -> ModelFacts:
    """Return the facts of a model on this disk.

    Raises:
        ModelFileError: a file cannot be read or is damaged.
    """
    if model.format == "safetensors":
        facts = read_directory_facts(model.directory)
        rule = read_vision(model.directory)
        return facts if rule is None else replace(facts, vision=VisionFiles(rule, model.directory))
    facts = read_file_facts(*(model.directory / file for file in model.files))
    return _with_projector(model, facts)


def _with_projector(model: LocalModel, facts: ModelFacts) -> ModelFacts:
    """Return the facts with the projector and config files that the model needs to read images."""
    if model.projector:
        projector = read_projector(Path(model.projector))
        if not projector.suits(facts.architecture, facts.embedding_width):
            raise ModelFileError(
                "The projector belongs to another model",
                f"{projector.path.name} is of type {clean(projector.type, 40)}"
                f"{f', {projector.width} wide' if projector.width else ''}; "
                f"{model.name} is {facts.architecture}, {facts.embedding_width} wide.",
                "Choose the mmproj file from the repository of the model.",
            )
    else:
        found = find_projector(model.directory, facts.architecture, facts.embedding_width)
        if found is None:
            others = projectors_in(model.directory)
            wrong = f"{others[0].name} in its directory belongs to another model" if others else None
            return replace(facts, blind=wrong)
        projector = found
    folder = base_folder(model.directory / model.files[0], facts.base)
    rule = None if folder is None else read_vision(folder)
    if folder is None or rule is None:
        return replace(facts, blind=missing_base(facts.base))
    return replace(facts, vision=VisionFiles(rule, folder, projector.path, projector.bytes))


def with_projector(model: LocalModel, projector: Path) -> LocalModel:
    """Return the model with a projector that the user names.

    Raises:
        ModelFileError: the file is not a projector for this model, or config files are missing.
    """
    named = replace(model, projector=str(projector.expanduser().absolute()))
    facts = read_local_facts(named)
    if facts.vision is None:
        raise ModelFileError(
            "The model cannot use this projector",
            f"{model.name}: {facts.blind or 'it is not a GGUF'}.",
            "Put these files into the directory of the model.",
        )
    return named


def sees(model: LocalModel) -> bool:
    """Return True if the model reads images. Reads headers only if there is a projector."""
    if model.format == "gguf" and not model.projector and not projectors_in(model.directory):
        return False
    try:
        return read_local_facts(model).vision is not None
    except ModelFileError:
        return False


def _in_file(path: Path, name: str) -> LocalModel:
    if path.suffix.lower() == ".safetensors":
        if not (path.parent / "config.json").is_file():
            raise ModelFileError(
                "The model is incomplete",
                f"{path.name} has no config.json in its directory.",
                "Choose a directory with the complete model.",
            )
        return LocalModel(name, "safetensors", path.parent)
    if (kind := kind_by_name(path.name)) is not None:
        raise ModelFileError("Not a model", f"{path} is {kind}.", "Choose the file of a chat model.")
    return LocalModel(name, "gguf", path.parent, _with_shards(path))


def _with_shards(path: Path) -> tuple[str, ...]:
    """Return the names of all shards of this file's model in order; only this name if it is not a shard."""
    match = _SHARD.fullmatch(path.name)
    if not match:
        return (path.name,)
    count = int(match["count"])
    present: dict[int, str] = {}
    for file in path.parent.iterdir():
        other = _SHARD.fullmatch(file.name)
        if other and other["stem"] == match["stem"] and other["count"] == match["count"]:
            present[int(other["number"])] = file.name
    missing = next((n for n in range(1, count + 1) if n not in present), None)
    if missing is not None:
        raise ModelFileError(
            "Shards are missing",
            f"{path.parent} has {len(present)} of {count} shards of {match['stem']}, not number {missing}.",
            "Pull the model again, or put the missing shards into the directory.",
        )
    return tuple(present[number] for number in sorted(present))


def _in_directory(path: Path, name: str) -> LocalModel:
    try:
        files = sorted(path.iterdir())
    except OSError as error:
        raise ModelFileError(
            "Cannot read the directory", f"{path}: {cause_of(error)}.", "Check its permissions."
        ) from error
    all_ggufs = [f for f in files if f.suffix.lower() == ".gguf" and f.is_file()]
    ggufs = [f for f in all_ggufs if kind_by_name(f.name) is None]
    if not ggufs:
        adapter = (path / "adapter_config.json").is_file()
        if (
            not adapter
            and (path / "config.json").is_file()
            and any(f.suffix == ".safetensors" for f in files)
        ):
            return LocalModel(name, "safetensors", path)
        if all_ggufs or adapter:
            raise ModelFileError(
                "No model here",
                f"{path}: {why_nothing_loads([f.name for f in files])}",
                "Choose a chat model.",
            )
        raise ModelFileError(
            "No model in the directory",
            f"{path} has neither a .gguf file nor a config.json with *.safetensors.",
            "Choose another directory, or pull the model.",
        )
    models: dict[str, list[Path]] = defaultdict(list)
    for file in ggufs:
        match = _SHARD.fullmatch(file.name)
        models[f"{match['stem']} (in {int(match['count'])} shards)" if match else file.name].append(file)
    if len(models) > 1:
        names = list(models)
        raise ModelFileError(
            "Several models in the directory",
            f"{path} has {', '.join(names[:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}.",
            "Give the path of the file you want.",
        )
    return LocalModel(name, "gguf", path, _with_shards(ggufs[0]))
