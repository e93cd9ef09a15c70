"""Scans Hugging Face caches and plain folders for models, by file names and sizes only.

No file is opened, so 200 repositories take a few hundredths of a second. Blocks, so call it in a thread.

The layout of a cache is huggingface_hub's (its guide "Understand caching"): a repository has `blobs/`, named
by hash, `snapshots/<commit>/` with links to them, and `refs/<branch or tag>` that hold a commit.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from stat import S_ISREG
from types import MappingProxyType
from typing import Literal

from spnl_tui.hub.library.by_content import is_gguf, may_be_gguf
from spnl_tui.hub.library.cache_layout import NOTES, RepositoryCache
from spnl_tui.hub.library.known_folders import KnownFolders
from spnl_tui.models.facts import Format
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.files.not_models import kind_by_name
from spnl_tui.models.quantization import SAFETENSORS, ModelFile, Quantization, label_of_file, quantizations_of
from spnl_tui.models.reference import ModelReference

Origin = Literal[
    "cache", "folder", "imported", "starter",
    "ollama", "lm-studio", "llama.cpp", "jan", "gpt4all", "text-generation-webui", "koboldcpp",
]  # fmt: skip
"""The origin of a model. The second line lists other programs (programs/places.py)."""
_SHARD_OF = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
_DEPTH = 3
"""The depth of the search in a plain folder, for ORG/NAME/FOLDER."""
_LEADS_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Error numbers of links without a target, through a file, or in a loop."""
_FOLDER_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEntry:
    """A model on this machine in one quantization."""

    reference: ModelReference
    """The reference, including its quantization, that finds exactly this entry again."""
    label: str
    """The quantization, or "safetensors"."""
    format: Format
    directory: Path
    files: tuple[str, ...]
    """File names relative to `directory`: all shards in order, or all files of a safetensors model."""
    size_bytes: int
    used: datetime | None
    """When a file was last read or written; None if the file system does not track this."""
    origin: Origin
    commit: str | None = None
    """The commit of the snapshot that has the model; None outside a cache."""
    projector: str = ""
    """The path of the projector; empty to use one in the same folder."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the absolute paths of the files."""
        return tuple(self.directory / file for file in self.files)

    @property
    def model(self) -> LocalModel:
        """Return the model for the engine to load."""
        files = self.files if self.format == "gguf" else ()
        return LocalModel(str(self.reference), self.format, self.directory, files, self.projector)

    @property
    def name(self) -> str:
        """Return the name by which the user knows the model."""
        return self.reference.pretty


@dataclass(frozen=True, slots=True)
class UnfinishedPull:
    """An incomplete model, because its pull was interrupted or is running in another program."""

    reference: ModelReference
    cache: RepositoryCache
    files: tuple[str, ...]
    revision: str
    done_bytes: int

    @property
    def name(self) -> str:
        """Return the name by which the user knows the model."""
        return self.reference.pretty

    @property
    def quantization(self) -> Quantization:
        """Return the quantization that is being pulled."""
        files = tuple(ModelFile(path) for path in self.files)
        return Quantization(self.reference.quantization or "", files, label_of_file(self.files[0]) or "")

    def drop(self) -> bool:
        """Delete the incomplete files. Return False if another program is writing one."""
        return self.cache.drop_parts(self.files, self.revision)


def _raise(_: Path, error: OSError) -> None:
    raise error


def scan_cache(
    cache: Path,
    repository: str | None = None,
    revision: str | None = None,
    *,
    on_error: Callable[[Path, OSError], None] = _raise,
) -> list[LibraryEntry]:
    """Return all complete models in a Hugging Face cache, or in one of its repositories (in any case).

    If several snapshots have the same files, the entry belongs to that of `main`, otherwise the newest.
    Snapshots with different files for the same label have entries of their own with a revision. With
    `revision` (a branch, a tag, or at least seven digits of a commit), only that snapshot is scanned.

    `on_error` receives the cache or any repository that cannot be read.
    """
    wanted = f"models--{repository.replace('/', '--')}".casefold() if repository else None
    entries: list[LibraryEntry] = []
    try:
        folders = _folders(cache)
    except OSError as error:
        on_error(cache, error)
        return []
    for folder in folders:
        parts = folder.name.split("--")
        if parts[0] == "models" and len(parts) == 3 and wanted in (None, folder.name.casefold()):
            name = f"{parts[1]}/{parts[2]}"
            try:
                if revision is None:
                    entries += _scan_repository(folder.path, name)
                else:
                    entries += _scan_revision(folder.path, name, revision)
            except OSError as error:
                on_error(Path(folder.path), error)
    return entries


def scan_folder(
    root: Path,
    origin: Origin = "folder",
    *,
    repositories: bool = True,
    by_content: bool = False,
    known: KnownFolders[LibraryEntry] | None = None,
    on_error: Callable[[Path, OSError], None] = _raise,
) -> list[LibraryEntry]:
    """Return all complete models in and below a folder.

    With `repositories`, models in folders ORG/NAME get that name. With `by_content`, a GGUF is recognized by
    its first bytes instead of its suffix. `known` has the results of earlier scans. `on_error` receives each
    folder that exists and cannot be read.
    """
    known = known or KnownFolders()
    entries: list[LibraryEntry] = []
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        inside = os.path.relpath(folder, root) if repositories and depth else ""
        repository = inside if _FOLDER_REPOSITORY.fullmatch(inside) else None
        try:
            found = _entries(folder)
            folders: list[os.DirEntry[str]] = []
            files: list[os.DirEntry[str]] = []
            for entry in found:
                (folders if _is_folder(entry) else files).append(entry)
            scan = partial(_models_in, folder, repository, origin, by_content=by_content)
            entries += known.get((folder, repository, origin, by_content), files, scan)
            if depth < _DEPTH:
                below = sorted(f.name for f in folders if not f.name.startswith((".", "models--")))
                pending += [(folder / name, depth + 1) for name in below]
        except OSError as error:
            on_error(folder, error)
    return entries


def scan_path(path: Path, origin: Origin = "folder") -> list[LibraryEntry]:
    """Return the models directly in this directory, or the model of this file.

    Raises:
        OSError: the path exists but cannot be read.
    """
    if path.is_dir():
        return list(_models_in(path, None, origin))
    return [entry for entry in _models_in(path.parent, None, origin) if path.name in entry.files]


def scan_unfinished(cache: Path) -> list[UnfinishedPull]:
    """Return the pulls into a Hugging Face cache that have begun but are incomplete."""
    found = []
    for folder in _folders(cache):
        if not (folder.name.startswith("models--") and os.path.isdir(os.path.join(folder.path, NOTES))):
            continue
        repository = RepositoryCache.at(Path(folder.path))
        files: dict[tuple[str, str], list[str]] = {}
        for note in repository.notes():
            files.setdefault((note.revision, note.label), []).append(note.path)
        for (revision, label), paths in files.items():
            sizes = [part.stat().st_size for path in paths for part in repository.parts(path, revision)]
            if sizes:
                reference = ModelReference(repository.name, label, None if revision == "main" else revision)
                found.append(UnfinishedPull(reference, repository, tuple(paths), revision, sum(sizes)))
    return found


def refs_of(repository: Path | str) -> dict[str, str]:
    """Return the branches and tags of a cached repository, with their commits."""
    found = {}
    for name in _files_below(os.path.join(repository, "refs")):
        with open(os.path.join(repository, "refs", name), encoding="ascii", errors="replace") as file:
            found[name] = file.read(80).strip()
    return found


def snapshots_of(repository: Path | str, refs: Mapping[str, str]) -> list[Path]:
    """Return the snapshots of a cached repository: that of `main` first, then the newest."""
    folders = _folders(os.path.join(repository, "snapshots"))
    if len(folders) > 1:
        folders.sort(key=lambda f: (f.name != refs.get("main"), -f.stat().st_mtime))
    return [Path(folder.path) for folder in folders]


def _scan_repository(folder: str, repository: str) -> Iterator[LibraryEntry]:
    found = _folders(os.path.join(folder, "snapshots"))
    labels = _labels_of(folder)
    if len(found) == 1:  # usually there is only one, so nothing must be compared
        yield from _models_in(Path(found[0].path), repository, "cache", found[0].name, labels)
        return
    refs = refs_of(folder)
    named = {commit: ref for ref, commit in refs.items() if ref != "main"}
    seen: dict[str, set[tuple[str, ...]]] = {}
    for snapshot in snapshots_of(folder, refs):
        commit = snapshot.name
        for entry in _models_in(snapshot, repository, "cache", commit, labels):
            contents = tuple(_content(path) for path in entry.paths)
            others = seen.setdefault(entry.label, set())
            if others and contents not in others:
                reference = replace(entry.reference, revision=named.get(commit, commit[:12]))
                yield replace(entry, reference=reference)
            elif not others:
                yield entry
            others.add(contents)


def _content(path: Path) -> str:
    """Return the name of a link's blob; the path itself if it is not a link."""
    try:
        return os.path.basename(os.readlink(path))
    except OSError:
        return str(path)


def _scan_revision(folder: str, repository: str, revision: str) -> Iterator[LibraryEntry]:
    refs = refs_of(folder)
    commit = refs.get(revision, revision)
    for snapshot in snapshots_of(folder, refs):
        if snapshot.name == commit or (len(revision) >= 7 and snapshot.name.startswith(revision)):
            for entry in _models_in(snapshot, repository, "cache", snapshot.name, _labels_of(folder)):
                yield replace(entry, reference=replace(entry.reference, revision=revision))


def _labels_of(folder: str) -> Mapping[str, str]:
    """Return the labels that quantizations have on the hub, by file, from the notes of pulls."""
    if not os.path.isdir(os.path.join(folder, NOTES)):
        return {}
    return {note.path: note.label for note in RepositoryCache.at(Path(folder)).notes()}


def _models_in(
    directory: Path,
    repository: str | None,
    origin: Origin,
    commit: str | None = None,
    labels: Mapping[str, str] = MappingProxyType({}),
    *,
    by_content: bool = False,
) -> Iterator[LibraryEntry]:
    """Yield the models in this directory, and below it if it is the snapshot of a commit.

    `labels` maps files to the labels that quantizations have on the hub, if known.
    """
    names = list(_files_below(directory) if commit else (e.name for e in _entries(directory)))
    if by_content:
        found = {n for n in names if may_be_gguf(n) and is_gguf(os.path.join(directory, n))}
        names = [n for n in names if n in found or not _is(n, ".gguf")]
        unnamed = sorted(n for n in found if not _is(n, ".gguf") and kind_by_name(n) is None)
    else:
        unnamed = []
    stats = _stats_of(directory, [name for name in names if _is(name, ".gguf", ".safetensors")])
    ggufs = quantizations_of(ModelFile(name, stat.st_size) for name, stat in stats.items())
    if labels:
        ggufs = tuple(replace(q, label=labels.get(q.files[0].path, q.label)) for q in ggufs)

    def entry(reference: ModelReference, label: str, format: Format, files: tuple[str, ...]) -> LibraryEntry:
        used = max(max(stats[file].st_atime, stats[file].st_mtime) for file in files)
        return LibraryEntry(
            reference=reference,
            label=label,
            format=format,
            directory=directory,
            files=files,
            size_bytes=sum(stats[file].st_size for file in files),
            used=datetime.fromtimestamp(used, UTC),
            origin=origin,
            commit=commit,
        )

    for quantization in ggufs:
        files = tuple(file.path for file in quantization.files)
        yield entry(_reference(directory, repository, quantization), quantization.label, "gguf", files)
    stats |= _stats_of(directory, unnamed)
    for name in unnamed:
        yield entry(
            ModelReference(path=directory / name), label_of_file(f"{name}.gguf") or name, "gguf", (name,)
        )
    if weights := _whole_weights(names, stats):
        stats |= _stats_of(
            directory, (n for n in names if "/" not in n and _is(n, ".json", ".jinja", ".model"))
        )
        rest = (name for name in stats if not _is(name, ".gguf", ".safetensors"))
        reference = ModelReference(repository=repository) if repository else ModelReference(path=directory)
        yield entry(reference, SAFETENSORS, "safetensors", (*weights, *rest))


def _reference(directory: Path, repository: str | None, quantization: Quantization) -> ModelReference:
    if repository:
        return ModelReference(repository=repository, quantization=quantization.label)
    return ModelReference(path=directory / quantization.files[0].path)


def _whole_weights(names: Iterable[str], present: Iterable[str]) -> list[str]:
    """Return the weight files of a safetensors model; empty if some are missing."""
    if "config.json" not in names or "adapter_config.json" in names:
        return []
    weights = [
        n for n in present if "/" not in n and _is(n, ".safetensors") and not n.startswith("consolidated")
    ]
    shards = [match for name in weights if (match := _SHARD_OF.search(name))]
    return weights if not shards or len(shards) == int(shards[0][2]) else []


def _is(path: str, *suffixes: str) -> bool:
    return path.lower().endswith(suffixes)


def _stats_of(directory: Path, names: Iterable[str]) -> dict[str, os.stat_result]:
    """Return the status of each existing file, without broken links."""
    found = {}
    within = os.path.join(directory, "")
    for name in sorted(names):
        try:
            found[name] = os.stat(within + name)
        except OSError as error:
            if error.errno not in _LEADS_NOWHERE:
                raise
    return {name: stat for name, stat in found.items() if S_ISREG(stat.st_mode)}


def _entries(directory: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _folders(directory: Path | str) -> list[os.DirEntry[str]]:
    return sorted((entry for entry in _entries(directory) if _is_folder(entry)), key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # Follow only links. `DirEntry.is_dir` fails for broken ones.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _files_below(directory: Path | str, prefix: str = "") -> Iterator[str]:
    """Yield the relative paths of files and links, without entering hidden or linked folders."""
    for entry in _entries(directory):
        if not entry.is_dir(follow_symlinks=False):
            yield prefix + entry.name
        elif not entry.name.startswith("."):
            yield from _files_below(entry.path, f"{prefix}{entry.name}/")
