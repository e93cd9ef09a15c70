"""The library: the models on this machine, by quantization, wherever they lie."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spnl_tui.errors import ModelFileError, SpnlError, StoreError
from spnl_tui.hub import removal
from spnl_tui.hub.imports import ImportRegistry
from spnl_tui.hub.removal import Removal, RemovalPlan
from spnl_tui.hub.scan import SAFETENSORS, LibraryEntry, scan_cache, scan_folder, scan_path
from spnl_tui.models.local import LocalModel, resolve_local
from spnl_tui.models.quantization import (
    ModelFile,
    Quantization,
    choose,
    label_of_file,
    normalize_label,
)
from spnl_tui.models.reference import ModelReference
from spnl_tui.text import in_bytes

_NAMED = 4
"""How many models a suggestion names."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is here, by name, and what could not be looked at."""

    entries: tuple[LibraryEntry, ...]
    problems: tuple[SpnlError, ...] = ()


class Library:
    """See the module. Disk work is done in threads; deletions can be undone until `close`.

    `hf_cache` is the Hugging Face cache; `model_cache_dir` is SPNL's MISTRALRS_MODEL_CACHE_DIR, a cache of
    the same layout or plain folders; `extra_dirs` are plain folders; `registry` is the file that keeps what
    the user has imported; `starter` finds the starter model (`Starter.locate`).
    """

    def __init__(
        self,
        hf_cache: Path,
        registry: Path,
        *,
        model_cache_dir: Path | None = None,
        extra_dirs: Sequence[Path] = (),
        starter: Callable[[], LocalModel | None] = lambda: None,
    ) -> None:
        self._caches = (hf_cache, *((model_cache_dir,) if model_cache_dir else ()))
        self._folders = (*((model_cache_dir,) if model_cache_dir else ()), *extra_dirs)
        self._imports = ImportRegistry(registry)
        self._starter = starter
        self._removals: list[Removal] = []
        self._lock = threading.Lock()

    async def listing(self) -> Listing:
        """All models on this machine, each quantization by itself, sorted by name."""
        return await asyncio.to_thread(self._listing)

    async def resolve(self, reference: ModelReference) -> LocalModel | None:
        """The model that this means, if it is on this machine; None if it would have to be pulled.

        Without a quantization, what is here is chosen from as `choose` does, whatever else the hub may have.

        Raises:
            ModelFileError: a path leads to no model, or to one that is broken or cannot be read.
            ModelReferenceError: several files here could be meant.
            StoreError: it may be in a folder of models that cannot be read.
        """
        if reference.is_starter:
            return await asyncio.to_thread(self._starter)
        if reference.path is not None:
            return await asyncio.to_thread(_resolve_path, reference.path, reference.quantization)
        entry = await self.find(reference)
        return entry.model if entry else None

    async def find(self, reference: ModelReference) -> LibraryEntry | None:
        """The entry of the library that this means, to show or to delete it.

        Raises:
            ModelReferenceError: several files here could be meant.
            StoreError: it may be in a folder of models that cannot be read.
        """
        return _choose(await self._candidates(reference), reference.quantization)

    async def matching(self, reference: ModelReference) -> tuple[LibraryEntry, ...]:
        """Every entry that this means: without a quantization all that there are, by label.

        Raises:
            ModelReferenceError: several files here could be meant.
            StoreError: some may be in a folder of models that cannot be read.
        """
        return _all_of(await self._candidates(reference), reference.quantization)

    async def at_path(self, reference: ModelReference) -> tuple[LibraryEntry, ...]:
        """What lies at the path of this reference, as `matching`, whether or not it was imported.

        Raises:
            ModelFileError: it cannot be read.
            ModelReferenceError: several files here could be meant.
        """
        assert reference.path is not None
        found = await asyncio.to_thread(_at_path, reference.path)
        return _all_of(found, reference.quantization)

    async def cached_labels(self, repository: str) -> frozenset[str]:
        """The quantizations of this repository that are here, for `choose`.

        Raises:
            StoreError: some may be in a folder of models that cannot be read.
        """
        entries = await asyncio.to_thread(self._of_repository, repository, None)
        return frozenset(entry.label for entry in entries)

    async def import_path(self, path: Path) -> LibraryEntry:
        """Take a file, or a folder that holds a model, into the library. It stays where it is.

        Raises:
            ModelFileError: there is no model, more than one, or a broken one.
            StoreError: the list of imports cannot be kept.
        """
        return await asyncio.to_thread(self._import, path)

    async def is_imported(self, path: Path) -> bool:
        """Whether this path is on the list of imports, whatever is there now.

        Raises:
            StoreError: the list cannot be read.
        """
        return path in await asyncio.to_thread(self._imports.read)

    async def forget(self, path: Path) -> None:
        """Take a path off the list of imports, also one at which there is no model any more.

        Raises:
            StoreError: the list cannot be kept.
        """
        await asyncio.to_thread(self._forget, path)

    # ── deleting ─────────────────────────────────────────────────────────────────────────────────

    async def plan_removal(self, entry: LibraryEntry) -> RemovalPlan:
        """What deleting this would free and what stays, to be asked about first."""
        return await asyncio.to_thread(removal.plan_removal, entry)

    async def remove(self, entry: LibraryEntry) -> Removal:
        """Delete one quantization. Imported files are only forgotten. `undo` brings it back until `close`.

        Raises:
            StoreError: its files cannot be moved.
        """
        return await asyncio.to_thread(self._remove, entry)

    async def undo(self, done: Removal) -> None:
        """Undo a deletion.

        Raises:
            StoreError: it has gone for good, or cannot be moved back.
        """
        await asyncio.to_thread(self._undo, done)

    @property
    def removals(self) -> tuple[Removal, ...]:
        """What can still be undone, oldest first."""
        return tuple(self._removals)

    def make_room(self, directory: Path, missing_bytes: int) -> str:
        """Let so many bytes of deleted files on this file system go, oldest first, or all that there are.

        If that is not enough, says which models could go: those that were not used for longest. Blocks: for
        threads, as pulls are.
        """
        missing = missing_bytes - self._purge(directory, missing_bytes)
        return _could_go(self._listing().entries, directory, missing) if missing > 0 else ""

    async def close(self) -> None:
        """Let all deleted files go for good, those too that a program that died has left."""
        await asyncio.to_thread(self._purge_all)

    async def _candidates(self, reference: ModelReference) -> list[LibraryEntry]:
        """What the reference could mean, its quantization aside; the likeliest first."""
        if reference.repository is not None:
            return await asyncio.to_thread(self._of_repository, reference.repository, reference.revision)
        entries = (await self.listing()).entries
        if reference.path is None:
            return [entry for entry in entries if entry.reference == reference]
        return [e for e in entries if e.directory == reference.path or reference.path in e.paths]

    # ── in threads ───────────────────────────────────────────────────────────────────────────────

    def _listing(self) -> Listing:
        entries: list[LibraryEntry] = []
        problems: list[SpnlError] = []

        def unreadable(place: Path, error: OSError) -> None:
            problems.append(_unreadable(place, error))

        for place in dict.fromkeys((*self._caches, *self._folders)):
            entries += scan_cache(place, on_error=unreadable) if place in self._caches else []
            entries += scan_folder(place, on_error=unreadable) if place in self._folders else []
        try:
            imported = self._imports.read()
        except StoreError as error:
            problems.append(error)
            imported = ()
        for path in imported:
            try:
                entries.append(_imported(path))
            except ModelFileError as error:
                problems.append(error)
        try:
            entries = self._with_starter(entries)
        except ModelFileError as error:
            problems.append(error)
        unique = {(entry.directory, entry.files): entry for entry in reversed(entries)}
        found = sorted(unique.values(), key=lambda entry: (entry.name.casefold(), entry.size_bytes))
        return Listing(tuple(found), tuple(problems))

    def _with_starter(self, entries: list[LibraryEntry]) -> list[LibraryEntry]:
        """The same with the starter called so, wherever it lies."""
        model = self._starter()
        if model is None:
            return entries
        path = model.directory / model.files[0]
        here = [entry for entry in entries if path in entry.paths] or _at_path(path)
        starter = [replace(entry, reference=ModelReference(), origin="starter") for entry in here[:1]]
        return starter + [entry for entry in entries if entry not in here]

    def _of_repository(self, repository: str, revision: str | None) -> list[LibraryEntry]:
        """The entries of one repository, main's snapshot first; with a revision, those of its snapshot.

        Raises:
            StoreError: there are none, and where there may be some cannot be read.
        """
        entries: list[LibraryEntry] = []
        problems: list[StoreError] = []

        def unreadable(place: Path, error: OSError) -> None:
            problems.append(_unreadable(place, error))

        for cache in self._caches:
            entries += scan_cache(cache, repository, revision, on_error=unreadable)
        for root in self._folders if revision is None else ():
            try:
                inside = scan_path(root / repository)
            except OSError as error:
                unreadable(root, error)
                continue
            entries += [
                replace(entry, reference=ModelReference(repository=repository, quantization=entry.label))
                for entry in inside
            ]
        if problems and not entries:
            raise problems[0]
        return entries

    def _import(self, path: Path) -> LibraryEntry:
        path = Path(os.path.abspath(path.expanduser()))
        with _readable(path):
            resolve_local(path)
        entry = _imported(path)
        with self._lock:
            self._imports.add(path)
        return entry

    def _forget(self, path: Path) -> None:
        with self._lock:
            self._imports.discard(path)

    def _remove(self, entry: LibraryEntry) -> Removal:
        plan = removal.plan_removal(entry)
        with self._lock:
            if entry.origin == "imported":
                assert entry.reference.path is not None
                self._imports.discard(entry.reference.path)
            done = removal.remove(plan)
            self._removals.append(done)
        return done

    def _undo(self, done: Removal) -> None:
        entry = done.plan.entry
        with self._lock:
            if done not in self._removals:
                raise StoreError("Nothing to undo", f"{entry.name} is not deleted, or is gone for good.")
            removal.restore(done)
            if entry.origin == "imported":
                assert entry.reference.path is not None
                self._imports.add(entry.reference.path)
            self._removals.remove(done)

    def _purge(self, directory: Path, wanted_bytes: int) -> int:
        """Let deleted files go; how many bytes that were."""
        device = os.stat(directory).st_dev
        before = shutil.disk_usage(directory).free
        freed = 0
        with self._lock:
            for done in self.removals:
                if freed >= wanted_bytes:
                    break
                if done.moved and os.stat(done.aside).st_dev == device:
                    removal.purge(done)
                    self._removals.remove(done)
                    freed = shutil.disk_usage(directory).free - before
        return freed

    def _purge_all(self) -> None:
        with self._lock:
            for done in self._removals:
                removal.purge(done)
            self._removals.clear()
        removal.sweep((*self._caches, *self._folders))


@contextlib.contextmanager
def _readable(path: Path, title: str = "The model cannot be read") -> Iterator[None]:
    """Say of an OSError within that the model at this path cannot be read."""
    try:
        yield
    except OSError as error:
        raise ModelFileError(
            title,
            f"{error.filename or path}: {error.strerror or error}.",
            "Check the path and its permissions.",
        ) from error


def _imported(path: Path) -> LibraryEntry:
    """The entry of an imported path, without a look into its files."""
    with _readable(path, "An imported model cannot be read"):
        found = scan_path(path, "imported")
    if len(found) != 1:
        raise ModelFileError(
            "An imported model has gone" if not found else "An imported folder now holds several models",
            f"{path} was imported and is not a model any more.",
            f"Put it back, or forget it: spnl-chat rm {shlex.quote(str(path))}",
        )
    return replace(found[0], reference=ModelReference(path=path))


def _at_path(path: Path) -> list[LibraryEntry]:
    with _readable(path):
        return scan_path(path)


def _resolve_path(path: Path, quantization: str | None) -> LocalModel:
    """The model at a path; in a folder of several quantizations, the one that is named or suits best."""
    with _readable(path):
        return _model_at(path, quantization)


def _model_at(path: Path, quantization: str | None) -> LocalModel:
    if path.is_dir():
        entries = [entry for entry in scan_path(path) if entry.format == "gguf"]
        # Files of one label are different models: which is meant, only the user can say.
        told_apart = all(entry.label == label_of_file(entry.files[0]) for entry in entries)
        if quantization is not None or (len(entries) > 1 and told_apart):
            entry = _choose(entries, quantization)
            if entry is None:
                raise ModelFileError(
                    f"No {quantization} here",
                    f"{path} has {', '.join(e.label for e in entries[:8]) or 'no GGUF files'}.",
                    "Name one of those, or a file.",
                )
            return resolve_local(entry.paths[0], str(ModelReference(path=path, quantization=entry.label)))
    return resolve_local(path)


def _all_of(entries: Sequence[LibraryEntry], quantization: str | None) -> tuple[LibraryEntry, ...]:
    """Those of this quantization, or all, by label."""
    if quantization is not None:
        chosen = _choose(entries, quantization)
        entries = [chosen] if chosen else []
    return tuple(sorted(entries, key=lambda entry: entry.label))


def _choose(entries: Sequence[LibraryEntry], quantization: str | None) -> LibraryEntry | None:
    """The entry of this quantization, or by default; None if it is not here.

    Raises:
        ModelReferenceError: several are of this quantization.
    """
    if not entries:
        return None
    by_label = {entry.label: entry for entry in reversed(entries)}
    found = [
        Quantization(
            label=entry.label,
            files=tuple(ModelFile(file) for file in entry.files),
            kind=label_of_file(entry.files[0]) or "",
        )
        for entry in by_label.values()
        if entry.format == "gguf"
    ]
    if quantization is None:
        return by_label[choose(found).label] if found else by_label[SAFETENSORS]
    wanted = normalize_label(quantization)
    if not any(wanted in (normalize_label(q.label), q.kind) for q in found):
        return by_label.get(quantization.lower()) if quantization.lower() == SAFETENSORS else None
    return by_label[choose(found, named=quantization).label]


def _could_go(entries: Sequence[LibraryEntry], directory: Path, missing_bytes: int) -> str:
    """The fewest of the models that were not used for longest, on this file system, that free so much."""
    device = os.stat(directory).st_dev
    chosen: list[LibraryEntry] = []
    oldest_first = sorted(entries, key=lambda entry: entry.used.timestamp() if entry.used else 0.0)
    for entry in oldest_first:
        if missing_bytes <= 0:
            break
        # Imported files are the user's own: forgetting them frees nothing.
        if entry.origin != "imported" and os.stat(entry.paths[0]).st_dev == device:
            chosen.append(entry)
            missing_bytes -= entry.size_bytes
    if not chosen:
        return ""
    named = ", ".join(f"{entry.name} ({in_bytes(entry.size_bytes)})" for entry in chosen[:_NAMED])
    more = f" and {len(chosen) - _NAMED} more" if len(chosen) > _NAMED else ""
    command = shlex.join(["spnl-chat", "rm", *(str(entry.reference) for entry in chosen[:_NAMED])])
    return f"Not used for longest: {named}{more}. Delete what can go: {command}"


def mark_used(model: LocalModel) -> None:
    """Write down that the model is used now: file systems keep no good account of it themselves."""
    files = [model.directory / file for file in model.files] or sorted(model.directory.glob("*.safetensors"))
    for file in files:
        with contextlib.suppress(PermissionError):  # a model of another user's: then it is not noted
            os.utime(file, (time.time(), file.stat().st_mtime))


def _unreadable(place: Path, error: OSError) -> StoreError:
    return StoreError(
        "A folder of models cannot be read",
        f"{error.filename or place}: {error.strerror or error}.",
        "Check its permissions.",
    )
