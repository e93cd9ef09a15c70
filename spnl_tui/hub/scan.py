"""What lies on this disk: Hugging Face caches and plain folders, read by names and sizes alone.

No header is opened: 200 repositories take a few hundredths of a second. Blocking, for threads.

The layout of a cache is huggingface_hub's (its guide "Understand caching"): a repository has `blobs/`, named
by hash, `snapshots/<commit>/` with links to them, and `refs/<branch or tag>` that hold a commit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from spnl_tui.models.facts import Format
from spnl_tui.models.local import LocalModel
from spnl_tui.models.quantization import ModelFile, Quantization, quantizations_of
from spnl_tui.models.reference import ModelReference

Origin = Literal["cache", "folder", "imported", "starter"]
SAFETENSORS = "safetensors"
"""The label of a model that is not quantized into files."""
_SHARD_OF = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
_DEPTH = 3
"""How far below a plain folder models are looked for: ORG/NAME/FOLDER."""
_FOLDER_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEntry:
    """One model on this machine, in one quantization."""

    reference: ModelReference
    """With its quantization; what finds this very entry again."""
    label: str
    """The quantization, or "safetensors"."""
    format: Format
    directory: Path
    files: tuple[str, ...]
    """Relative to `directory`: the shards in order, or everything that a safetensors model consists of."""
    size_bytes: int
    used: datetime | None
    """When a file was last read or written, as far as the file system keeps account of it."""
    origin: Origin
    commit: str | None = None
    """Of a cache: the snapshot that this is in."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, by their absolute paths."""
        return tuple(self.directory / file for file in self.files)

    @property
    def model(self) -> LocalModel:
        """What the engine is given to load."""
        files = self.files if self.format == "gguf" else ()
        return LocalModel(str(self.reference), self.format, self.directory, files)

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.reference.pretty


def scan_cache(cache: Path, repository: str | None = None, revision: str | None = None) -> list[LibraryEntry]:
    """Every complete model in a Hugging Face cache, or of one repository there, whatever its case.

    Where snapshots hold the same files, the entry is that of `main`, else of the newest. Those that hold
    others under the same label are entries of their own, with their revision. With `revision` (a branch, a
    tag, or seven digits of a commit and more), only that snapshot is looked at.

    Raises:
        OSError: the cache is there and cannot be read.
    """
    wanted = f"models--{repository.replace('/', '--')}".casefold() if repository else None
    entries: list[LibraryEntry] = []
    for folder in _folders(cache):
        parts = folder.name.split("--")
        if parts[0] == "models" and len(parts) == 3 and wanted in (None, folder.name.casefold()):
            name = f"{parts[1]}/{parts[2]}"
            if revision is None:
                entries += _scan_repository(Path(folder.path), name)
            else:
                entries += _scan_revision(Path(folder.path), name, revision)
    return entries


def scan_folder(root: Path, origin: Origin = "folder") -> list[LibraryEntry]:
    """Every complete model in a plain folder and below it; what lies in ORG/NAME goes by that name.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    entries: list[LibraryEntry] = []
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        inside = str(folder.relative_to(root))
        repository = inside if _FOLDER_REPOSITORY.fullmatch(inside) else None
        entries += _models_in(folder, repository, origin, deep=False)
        if depth < _DEPTH:
            below = [f for f in _folders(folder) if not f.name.startswith((".", "models--"))]
            pending += [(Path(f.path), depth + 1) for f in below]
    return entries


def scan_path(path: Path, origin: Origin = "folder") -> list[LibraryEntry]:
    """The models in this very directory, or the one that this file belongs to.

    Raises:
        OSError: it is there and cannot be read.
    """
    if path.is_dir():
        return list(_models_in(path, None, origin, deep=False))
    return [entry for entry in _models_in(path.parent, None, origin, deep=False) if path.name in entry.files]


def refs_of(repository: Path) -> dict[str, str]:
    """Branches and tags of a cached repository, and the commits they stood for."""
    root = repository / "refs"
    found = {}
    for path in _files_below(root):
        name = os.path.relpath(path, root)
        with open(path, encoding="ascii", errors="replace") as file:
            found[name] = file.read(80).strip()
    return found


def snapshots_of(repository: Path) -> list[Path]:
    """The snapshots of a cached repository: that of `main` first, then the newest."""
    main = refs_of(repository).get("main")
    folders = list(_folders(repository / "snapshots"))
    folders.sort(key=lambda f: (f.name != main, -f.stat().st_mtime))
    return [Path(folder.path) for folder in folders]


def _scan_repository(folder: Path, repository: str) -> Iterator[LibraryEntry]:
    refs = refs_of(folder)
    named = {commit: ref for ref, commit in refs.items() if ref != "main"}
    seen: dict[str, set[tuple[str, ...]]] = {}
    for snapshot in snapshots_of(folder):
        commit = snapshot.name
        for entry in _models_in(snapshot, repository, "cache", deep=True):
            files = tuple(os.path.realpath(snapshot / file) for file in entry.files)
            others = seen.setdefault(entry.label, set())
            if others and files not in others:
                reference = replace(entry.reference, revision=named.get(commit, commit[:12]))
                yield replace(entry, reference=reference, commit=commit)
            elif not others:
                yield replace(entry, commit=commit)
            others.add(files)


def _scan_revision(folder: Path, repository: str, revision: str) -> Iterator[LibraryEntry]:
    commit = refs_of(folder).get(revision, revision)
    for snapshot in snapshots_of(folder):
        if snapshot.name == commit or (len(revision) >= 7 and snapshot.name.startswith(revision)):
            for entry in _models_in(snapshot, repository, "cache", deep=True):
                reference = replace(entry.reference, revision=revision)
                yield replace(entry, reference=reference, commit=snapshot.name)


def _models_in(
    directory: Path, repository: str | None, origin: Origin, *, deep: bool
) -> Iterator[LibraryEntry]:
    """The models whose files lie in this directory, and with `deep` below it."""
    files = _model_files(directory, deep)
    stats = {file: os.stat(directory / file) for file in files}
    ggufs = quantizations_of(ModelFile(file, stats[file].st_size) for file in files if _is(file, ".gguf"))

    def entry(reference: ModelReference, label: str, format: Format, names: tuple[str, ...]) -> LibraryEntry:
        return LibraryEntry(
            reference=reference,
            label=label,
            format=format,
            directory=directory,
            files=names,
            size_bytes=sum(stats[name].st_size for name in names),
            used=_latest(stats[name] for name in names),
            origin=origin,
        )

    for quantization in ggufs:
        names = tuple(file.path for file in quantization.files)
        yield entry(_reference(directory, repository, quantization), quantization.label, "gguf", names)
    if weights := _whole_weights(files):
        rest = [file for file in files if "/" not in file and not _is(file, ".gguf", ".safetensors")]
        reference = ModelReference(repository=repository) if repository else ModelReference(path=directory)
        yield entry(reference, SAFETENSORS, "safetensors", (*weights, *rest))


def _reference(directory: Path, repository: str | None, quantization: Quantization) -> ModelReference:
    if repository:
        return ModelReference(repository=repository, quantization=quantization.label)
    return ModelReference(path=directory / quantization.files[0].path)


def _model_files(directory: Path, deep: bool) -> list[str]:
    """Paths below the directory of what may belong to a model. Links to nothing are left out."""
    paths = _files_below(directory) if deep else (e.path for e in _entries(directory) if e.is_file())
    wanted = (".gguf", ".safetensors", ".json", ".jinja", ".model")
    return sorted(os.path.relpath(path, directory) for path in paths if _is(path, *wanted))


def _whole_weights(files: Iterable[str]) -> list[str]:
    """The weights of a safetensors model whose configuration and shards are all there; else none."""
    top = [file for file in files if "/" not in file]
    weights = [file for file in top if _is(file, ".safetensors") and not file.startswith("consolidated")]
    if "config.json" not in top or "adapter_config.json" in top:
        return []
    shards = [match for file in weights if (match := _SHARD_OF.search(file))]
    if shards and len(shards) != int(shards[0][2]):
        return []
    return weights


def _is(path: str, *suffixes: str) -> bool:
    return path.lower().endswith(suffixes)


def _latest(stats: Iterable[os.stat_result]) -> datetime | None:
    seconds = max((max(stat.st_atime, stat.st_mtime) for stat in stats), default=None)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _entries(directory: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _folders(directory: Path) -> list[os.DirEntry[str]]:
    return sorted((entry for entry in _entries(directory) if entry.is_dir()), key=lambda entry: entry.name)


def _files_below(directory: Path | str) -> Iterator[str]:
    """Files that can be opened, links included; hidden folders are not entered, nor are linked ones."""
    for entry in _entries(directory):
        if entry.is_file():
            yield entry.path
        elif entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _files_below(entry.path)
