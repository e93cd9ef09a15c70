"""Deletes models with undo: files move to a folder beside them and are purged later. Blocks, so call it in a
thread.

That folder is on the same file system, so nothing is copied. Its name has this process's id, so that the next
run can purge what a crashed program left.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.errors import StoreError, cause_of
from spnl_tui.hub.library.programs.scan import refuse_removal
from spnl_tui.hub.library.scan import LibraryEntry, refs_of, snapshots_of
from spnl_tui.models.files.not_models import PROJECTOR, kind_by_name

_ASIDE = re.compile(r"\.removed-by-spnl-chat-(\d+)-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """The effects of a deletion, computed in advance."""

    entry: LibraryEntry
    links: tuple[Path, ...]
    """Links in snapshots that will be deleted."""
    contents: tuple[Path, ...]
    """Files, and links in plain folders, that will be deleted. `frees_bytes` is the size of the files."""
    frees_bytes: int
    kept_for: tuple[str, ...]
    """Revisions because of which some files stay."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A deletion that can still be undone."""

    plan: RemovalPlan
    aside: Path
    moved: tuple[tuple[Path, Path], ...]
    """The original path of each file, and the path to which it was moved."""
    links: tuple[tuple[Path, str], ...]
    """The deleted links and their targets."""


def plan_removal(entry: LibraryEntry) -> RemovalPlan:
    """Return the effects of deleting this entry.

    In a cache, links are removed from the entry's own snapshot. If the entry has no revision of its own, they
    are also removed from outdated snapshots, which have no branch or tag. A blob that has other links stays.

    Raises:
        StoreError: the model belongs to another program.
    """
    refuse_removal(entry)
    paths = (*entry.paths, *_projectors(entry))
    if entry.origin == "imported":
        return RemovalPlan(entry, (), (), 0, ())
    if entry.commit is None:
        # In a plain folder, a link of the user's is deleted, but its target stays.
        frees = sum(os.stat(path).st_size for path in paths if not path.is_symlink())
        return RemovalPlan(entry, (), paths, frees, ())
    repository = entry.directory.parent.parent
    refs = refs_of(repository)
    current = {*refs.values(), entry.commit}
    own = {os.path.realpath(path) for path in paths}
    going: list[Path] = []
    needed: dict[str, set[str]] = {}
    for snapshot in snapshots_of(repository, refs):
        goes = snapshot == entry.directory or (not entry.reference.revision and snapshot.name not in current)
        for path in _linked_to(snapshot, own):
            if goes and (snapshot != entry.directory or path in paths):
                going.append(path)
            else:
                needed.setdefault(os.path.realpath(path), set()).add(snapshot.name[:12])
    # On a file system without links, the snapshot contains the file itself.
    links = [path for path in going if path.is_symlink()]
    contents = {os.path.realpath(path) for path in going} - set(needed)
    return RemovalPlan(
        entry,
        links=tuple(links),
        contents=tuple(sorted(Path(path) for path in contents)),
        frees_bytes=sum(os.stat(path).st_size for path in contents),
        kept_for=tuple(sorted(set().union(*needed.values()))) if needed else (),
    )


def _projectors(entry: LibraryEntry) -> tuple[Path, ...]:
    """Return the projectors that no other model of the repository needs after this deletion."""
    if entry.origin != "cache" or entry.format != "gguf":
        return ()
    ggufs = {path for path in entry.directory.rglob("*.gguf") if path.is_file()}
    projectors = {path for path in ggufs if kind_by_name(path.name) == PROJECTOR}
    return tuple(sorted(projectors)) if ggufs - projectors <= set(entry.paths) else ()


def remove(plan: RemovalPlan) -> Removal:
    """Move the files aside and delete the links.

    Raises:
        StoreError: a file cannot be moved. Files that were already moved are put back.
    """
    anchor = plan.entry.directory.parent.parent if plan.entry.commit else plan.entry.directory
    aside = anchor / f".removed-by-spnl-chat-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    moved: list[tuple[Path, Path]] = []
    links: list[tuple[Path, str]] = []
    try:
        for link in plan.links:
            links.append((link, os.readlink(link)))
            link.unlink()
        if plan.contents:
            aside.mkdir(parents=True)
        for number, path in enumerate(plan.contents):
            waits = aside / f"{number}-{path.name}"
            os.rename(path, waits)
            moved.append((path, waits))
    except OSError as error:
        _put_back(moved, links)
        raise StoreError(
            "The model cannot be deleted",
            f"{error.filename or plan.entry.directory}: {cause_of(error)}.",
            "Check the permissions of its folder.",
        ) from error
    return Removal(plan, aside, tuple(moved), tuple(links))


def restore(removal: Removal) -> None:
    """Undo a deletion. A new file at the place of a deleted one stays.

    Raises:
        StoreError: a file cannot be moved back, or is gone for good.
    """
    # Use lexists, because a relative link is broken while it is aside.
    gone = next((waits for _, waits in removal.moved if not os.path.lexists(waits)), None)
    try:
        if gone is not None:
            raise FileNotFoundError(2, "The files are gone for good", str(gone))
        _put_back(removal.moved, removal.links)
        shutil.rmtree(removal.aside, ignore_errors=True)
    except OSError as error:
        raise StoreError(
            "The deletion cannot be undone",
            f"{error.filename}: {cause_of(error)}.",
            "Pull the model again.",
        ) from error


def purge(removal: Removal) -> None:
    """Delete the files permanently, and any folders that are now empty."""
    shutil.rmtree(removal.aside, ignore_errors=True)
    entry = removal.plan.entry
    below = {link.parent for link, _ in removal.links} | {path.parent for path, _ in removal.moved}
    top = removal.aside.parent
    for folder in sorted(below, key=lambda path: -len(path.parts)):
        while folder != top and top in folder.parents and _is_empty(folder):
            folder.rmdir()
            folder = folder.parent
    if entry.commit and not _has_content(top):
        shutil.rmtree(top, ignore_errors=True)


def sweep(roots: Iterable[Path]) -> None:
    """Purge the deletions that crashed programs left in these caches and folders."""
    for root in roots:
        for folder in _asides(root):
            if not _is_running(int(folder.name.split("-")[4])):
                shutil.rmtree(folder, ignore_errors=True)


def _put_back(moved: Iterable[tuple[Path, Path]], links: Iterable[tuple[Path, str]]) -> None:
    for path, waits in moved:
        if not os.path.lexists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.rename(waits, path)
    for link, target in links:
        if not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


def _linked_to(snapshot: Path, targets: set[str]) -> Iterator[Path]:
    for folder, _, names in os.walk(snapshot):
        for name in names:
            if os.path.realpath(path := os.path.join(folder, name)) in targets:
                yield Path(path)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _has_content(repository: Path) -> bool:
    """Return True if a cached repository still has a file in a snapshot or an incomplete file."""
    folders = (repository / "snapshots", repository / "blobs")
    return any(names for folder in folders for _, _, names in os.walk(folder)) or any(_asides(repository))


def _asides(root: Path) -> Iterator[Path]:
    """Yield the folders with deleted files in and below this folder."""
    for pattern in ("", "*/", "*/*/", "*/*/*/"):
        with contextlib.suppress(OSError):  # nothing was moved to unreadable folders
            yield from (
                path
                for path in root.glob(f"{pattern}.removed-by-spnl-chat-*-*")
                if _ASIDE.fullmatch(path.name)
            )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
