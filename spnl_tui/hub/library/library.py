"""The library: all models on this machine, one entry per quantization."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from spnl_tui.errors import ModelFileError, SpnlError, StoreError, cause_of
from spnl_tui.hub.library.at_path import entries_at, importable_entry, imported_entry, resolve_path
from spnl_tui.hub.library.choosing import choose_entries, choose_entry, here_by_label
from spnl_tui.hub.library.deletions import Deletions, could_go
from spnl_tui.hub.library.import_registry import ImportRegistry
from spnl_tui.hub.library.known_folders import KnownFolders
from spnl_tui.hub.library.leftovers import Leftover, scan_leftovers
from spnl_tui.hub.library.programs.scan import OtherPrograms, without_known
from spnl_tui.hub.library.removal import Removal, RemovalPlan, plan_removal
from spnl_tui.hub.library.scan import (
    LibraryEntry,
    UnfinishedPull,
    scan_cache,
    scan_folder,
    scan_path,
    scan_unfinished,
)
from spnl_tui.models.files.local import LocalModel
from spnl_tui.models.quantization import Quantization, find_named
from spnl_tui.models.reference import ModelReference


@dataclass(frozen=True, slots=True)
class Listing:
    """The models by name, and the folders that could not be read."""

    entries: tuple[LibraryEntry, ...]
    problems: tuple[SpnlError, ...] = ()


class RepositoryFiles(Protocol):
    """The facts about a repository on the hub that the library needs."""

    @property
    def repository(self) -> str: ...
    @property
    def choices(self) -> Sequence[Quantization]: ...


class Library:
    """The models on this machine. Disk access is in threads; deletions can be undone until `close`.

    `hf_cache` is the Hugging Face cache. `model_cache_dir` is SPNL's MISTRALRS_MODEL_CACHE_DIR, with the same
    layout or plain folders. `extra_dirs` are plain folders; in `model_dirs`, GGUFs need no suffix. `registry`
    is the file with the list of imports, and `starter` finds the starter model (`Starter.locate`). The models
    of `programs` are used in place and never changed.
    """

    def __init__(
        self,
        hf_cache: Path,
        registry: Path,
        *,
        model_cache_dir: Path | None = None,
        extra_dirs: Sequence[Path] = (),
        model_dirs: Sequence[Path] = (),
        starter: Callable[[], LocalModel | None] = lambda: None,
        programs: OtherPrograms | None = None,
    ) -> None:
        self._caches = (hf_cache, *((model_cache_dir,) if model_cache_dir else ()))
        self._folders = (*((model_cache_dir,) if model_cache_dir else ()), *extra_dirs, *model_dirs)
        self._by_content = frozenset(model_dirs)
        self._known: KnownFolders[LibraryEntry] = KnownFolders()
        self._programs = programs
        self._imports = ImportRegistry(registry)
        self._starter = starter
        self._deletions = Deletions(self._imports)

    async def listing(self) -> Listing:
        """Return all models on this machine, one entry per quantization, sorted by name."""
        return await asyncio.to_thread(self._listing)

    async def resolve(self, reference: ModelReference) -> LocalModel | None:
        """Return the local model for this reference; None if it must be pulled.

        If the reference names no quantization, `choose` selects among the local ones, whatever else the hub
        has.

        Raises:
            ModelFileError: the path has no model, or the model is damaged or unreadable.
            ModelReferenceError: several files match.
            StoreError: a folder that may have the model cannot be read.
        """
        if reference.is_starter:
            return await asyncio.to_thread(self._starter)
        if reference.path is not None:
            return await asyncio.to_thread(resolve_path, reference.path, reference.quantization)
        if reference.ollama is not None:
            entry = await asyncio.to_thread(self._of_ollama, reference.ollama)
            return entry.model if entry else None
        entry = await self.find(reference)
        return entry.model if entry else None

    async def find(self, reference: ModelReference) -> LibraryEntry | None:
        """Return the entry for this reference; None if it is not on this machine.

        Raises:
            ModelReferenceError: several files match.
            StoreError: a folder that may have the model cannot be read.
        """
        return choose_entry(await self._candidates(reference), reference.quantization)

    async def matching(self, reference: ModelReference) -> tuple[LibraryEntry, ...]:
        """Return all entries for this reference, sorted by label: all quantizations if it names none.

        Raises:
            ModelReferenceError: several files match.
            StoreError: a folder that may have the models cannot be read.
        """
        return choose_entries(await self._candidates(reference), reference.quantization)

    async def at_path(self, reference: ModelReference) -> tuple[LibraryEntry, ...]:
        """Return the entries at the reference's path, imported or not.

        Raises:
            ModelFileError: the path cannot be read.
            ModelReferenceError: several files match.
        """
        assert reference.path is not None
        found = await asyncio.to_thread(entries_at, reference.path)
        return choose_entries(found, reference.quantization)

    async def here(self, details: RepositoryFiles, revision: str | None = None) -> dict[str, LibraryEntry]:
        """Return the local entries of a hub repository by their labels on the hub.

        Raises:
            StoreError: a folder that may have the models cannot be read.
        """
        entries = await asyncio.to_thread(self._of_repository, details.repository, revision)
        return here_by_label(details.choices, entries)

    async def unfinished(self, reference: ModelReference | None = None) -> list[UnfinishedPull]:
        """Return the incomplete pulls: all, or those that match a reference.

        Raises:
            ModelReferenceError: several pulls match.
        """

        def scan() -> list[UnfinishedPull]:
            found = []
            for cache in self._caches:
                with contextlib.suppress(OSError):  # the listing reports it
                    found += scan_unfinished(cache)
            return found

        pulls = await asyncio.to_thread(scan)
        if reference is None:
            return pulls
        if reference.repository is None:
            return []
        wanted = reference.repository.casefold(), reference.revision or "main"
        return [
            pull
            for pull in pulls
            if (pull.cache.name.casefold(), pull.revision) == wanted
            and (reference.quantization is None or find_named([pull.quantization], reference.quantization))
        ]

    async def drop(self, pull: UnfinishedPull) -> None:
        """Delete the partial files of a pull.

        Raises:
            StoreError: another program is pulling the model.
        """
        if not await asyncio.to_thread(pull.drop):
            raise StoreError(
                f"{pull.name} is being pulled",
                "Another program is writing the files.",
                "Stop that pull first.",
            )

    async def leftovers(self) -> list[Leftover]:
        """Return incomplete files that no pull can resume, and empty repository folders."""

        def scan() -> list[Leftover]:
            found = []
            for cache in self._caches:
                with contextlib.suppress(OSError):  # the listing reports it
                    found += scan_leftovers(cache, scan_unfinished(cache))
            return found

        return await asyncio.to_thread(scan)

    async def drop_parts(self, parts: UnfinishedPull | Leftover) -> bool:
        """Delete the files of an interrupted pull, or leftovers. Return False if another program writes
        them."""
        return await asyncio.to_thread(parts.drop)

    async def import_path(self, path: Path) -> LibraryEntry:
        """Import a model file or folder without moving it.

        Raises:
            ModelFileError: there is no model, more than one, or the model is damaged.
            StoreError: the list of imports cannot be written.
        """
        return await asyncio.to_thread(self._import, path)

    async def is_imported(self, path: Path) -> bool:
        """Return True if this path is in the list of imports, even if the model is gone.

        Raises:
            StoreError: the list cannot be read.
        """
        return path in await asyncio.to_thread(self._imports.read)

    async def forget(self, path: Path) -> None:
        """Remove a path from the list of imports, even if the model is gone.

        Raises:
            StoreError: the list cannot be written.
        """
        await asyncio.to_thread(self._imports.discard, path)

    # ── deleting ─────────────────────────────────────────────────────────────────────────────────

    async def plan_removal(self, entry: LibraryEntry) -> RemovalPlan:
        """Return the effects of deleting this entry, for the confirmation."""
        return await asyncio.to_thread(plan_removal, entry)

    async def remove(self, entry: LibraryEntry) -> Removal:
        """Delete one quantization; imported models are only removed from the list. `undo` works until
        `close`.

        Raises:
            StoreError: the files cannot be moved.
        """
        return await asyncio.to_thread(self._deletions.remove, entry)

    async def undo(self, done: Removal) -> None:
        """Undo a deletion.

        Raises:
            StoreError: the files are gone for good, or cannot be moved back.
        """
        await asyncio.to_thread(self._deletions.undo, done)

    @property
    def removals(self) -> tuple[Removal, ...]:
        """Return the deletions that can still be undone, oldest first."""
        return self._deletions.removals

    def make_room(self, directory: Path, missing_bytes: int) -> str:
        """Purge deleted files on this file system, oldest first, to free this many bytes.

        If that is not enough, return a sentence that suggests models to delete; else an empty text. Blocks,
        so call it in a thread.
        """
        missing = missing_bytes - self._deletions.purge(directory, missing_bytes)
        return could_go(self._listing().entries, directory, missing) if missing > 0 else ""

    def mark_used(self, model: LocalModel) -> None:
        """Record that the model is used now, unless its files belong to another program.

        Blocks, so call it in a thread.
        """
        if self._programs is None or not self._programs.owns(model.directory):
            mark_used(model)

    async def close(self) -> None:
        """Purge all deleted files, including those left by programs that crashed."""
        await asyncio.to_thread(self._deletions.purge_all, (*self._caches, *self._folders))

    async def _candidates(self, reference: ModelReference) -> list[LibraryEntry]:
        """Return the entries that match the reference, ignoring its quantization, likeliest first."""
        if reference.repository is not None:
            return await asyncio.to_thread(self._of_repository, reference.repository, reference.revision)
        if reference.ollama is not None:
            entry = await asyncio.to_thread(self._of_ollama, reference.ollama)
            return [entry] if entry else []
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
            if place in self._folders:
                by_content = place in self._by_content
                entries += scan_folder(place, by_content=by_content, known=self._known, on_error=unreadable)
        try:
            imported = self._imports.read()
        except StoreError as error:
            problems.append(error)
            imported = ()
        for path in imported:
            try:
                entries.append(imported_entry(path))
            except ModelFileError as error:
                problems.append(error)
        try:
            entries = self._with_starter(entries)
        except ModelFileError as error:
            problems.append(error)
        if self._programs is not None:
            entries += without_known(self._programs.entries(unreadable), entries)
        unique = {(str(entry.reference), entry.directory, entry.files): entry for entry in reversed(entries)}
        found = sorted(unique.values(), key=lambda entry: (entry.name.casefold(), entry.size_bytes))
        return Listing(tuple(found), tuple(problems))

    def _with_starter(self, entries: list[LibraryEntry]) -> list[LibraryEntry]:
        """Return the entries with the starter model under its own name, wherever its file is."""
        model = self._starter()
        if model is None:
            return entries
        path = model.directory / model.files[0]
        here = [entry for entry in entries if path in entry.paths] or entries_at(path)
        starter = [replace(entry, reference=ModelReference(), origin="starter") for entry in here[:1]]
        return starter + [entry for entry in entries if entry not in here]

    def _of_repository(self, repository: str, revision: str | None) -> list[LibraryEntry]:
        """Return the entries of a repository: all, main's snapshot first, or those of one revision.

        Raises:
            StoreError: there are none, but a folder that may have some cannot be read.
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
        if self._programs is not None and revision is None:
            entries += without_known(self._programs.of_repository(repository), entries)
        if problems and not entries:
            raise problems[0]
        return entries

    def _of_ollama(self, name: str) -> LibraryEntry | None:
        return None if self._programs is None else self._programs.ollama_entry(name)

    def _import(self, path: Path) -> LibraryEntry:
        path = Path(os.path.abspath(path.expanduser()))
        entry = importable_entry(path)
        self._imports.add(path)
        return entry


def mark_used(model: LocalModel) -> None:
    """Record the time of use, because file systems do not track reads reliably."""
    files = [model.directory / file for file in model.files] or sorted(model.directory.glob("*.safetensors"))
    for file in files:
        # the file belongs to another user, so nothing can be recorded
        with contextlib.suppress(PermissionError):
            os.utime(file, (time.time(), file.stat().st_mtime))


def _unreadable(place: Path, error: OSError) -> StoreError:
    return StoreError(
        "A folder of models cannot be read",
        f"{error.filename or place}: {cause_of(error)}.",
        "Check its permissions.",
    )
