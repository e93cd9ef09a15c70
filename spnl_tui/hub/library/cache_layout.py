"""A repository in the Hugging Face cache, in huggingface_hub's layout.

    <cache>/models--acme--Tiny-GGUF/blobs/<etag>             the content, named by its hash
                                   /blobs/<etag>.<key>.part  the part of it pulled so far
                                   /snapshots/<commit>/<path>  a relative link to the blob
                                   /refs/<revision>          the commit that a branch or tag stood for
                                   /.spnl-chat/<key>.json   what a part is of, and what its file is called
            .locks/models--acme--Tiny-GGUF/<etag>.lock       who writes the blob

The part files and the notes in `.spnl-chat/` are ours. `key` stands for the revision and the path that were
asked for, so that a part is found again when that path has come to hold something else. Source:
huggingface_hub/file_download.py, and its guide "Understand caching".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from spnl_tui.errors import PullError
from spnl_tui.hub.access import RemoteFile, check_endpoint


def default_cache() -> Path:
    """Return the directory of huggingface_hub's cache (HF_HUB_CACHE, HF_HOME).

    Raises:
        HubError: HF_ENDPOINT is invalid, so huggingface_hub cannot be imported.
    """
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ValueError:
        check_endpoint()
        raise

    return Path(HF_HUB_CACHE)


NOTES = ".spnl-chat"
"""The folder for our notes in a repository's folder."""


@dataclass(frozen=True, slots=True)
class PullNote:
    """A note about one file of a pull, from which the file gets its name later."""

    path: str
    revision: str
    label: str
    """The name of the quantization among all files of the repository on the hub."""


class LockTaken(Exception):
    """Another program or pull is writing this blob."""


class RepositoryCache:
    """The paths of one repository in a cache. Creating it does not access the disk."""

    def __init__(self, cache: Path, repo: str) -> None:
        self.name = repo
        folder = "--".join(["models", *repo.split("/")])
        self.root = cache / folder
        self.blobs = self.root / "blobs"
        self.snapshots = self.root / "snapshots"
        self._refs = self.root / "refs"
        self._notes = self.root / NOTES
        self._locks = cache / ".locks" / folder

    @classmethod
    def spelled_alike(cls, cache: Path, repo: str) -> list[RepositoryCache]:
        """Return the repositories in the cache with this name in any case, because only the hub knows the
        right case."""
        wanted = cls(cache, repo).root.name.lower()
        return [cls.at(path) for path in cache.glob("models--*") if path.name.lower() == wanted]

    @classmethod
    def at(cls, root: Path) -> RepositoryCache:
        """Return the repository with this folder."""
        return cls(root.parent, root.name.removeprefix("models--").replace("--", "/"))

    def blob(self, file: RemoteFile) -> Path:
        """Return the path of the complete, verified file."""
        return self.blobs / file.etag

    def part(self, file: RemoteFile, revision: str) -> Path:
        """Return the path of the incomplete file."""
        return self.blobs / f"{file.etag}.{_key(revision, file.path)}.part"

    def parts(self, path: str, revision: str) -> list[Path]:
        """Return all incomplete files for this path and revision, whatever their content."""
        key = _key(revision, path)
        return sorted(path for kind in ("part", "*.part") for path in self.blobs.glob(f"*.{key}.{kind}"))

    def parts_of(self, file: RemoteFile) -> list[Path]:
        """Return all incomplete files with this content, for any revision and path."""
        return sorted(self.blobs.glob(f"{file.etag}.*.part"))

    def whole_parts_of(self, file: RemoteFile) -> list[Path]:
        """Return the incomplete files with this content that start at the file's first byte."""
        return [part for part in self.parts_of(file) if part.name.count(".") == 2]

    def pointer(self, commit: str, path: str) -> Path:
        """Return the file's path in the snapshot.

        Raises:
            PullError: the path is outside the snapshot, or contains unprintable characters.
        """
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not path.isprintable() or "\\" in path or not path:
            raise PullError("A file has an unusable name", f"The repository names it {path!r}.")
        return self.snapshots.joinpath(commit, *pure.parts)

    @contextlib.contextmanager
    def locked(self, etag: str, timeout: float) -> Iterator[None]:
        """Hold the lock on the blob, which huggingface_hub uses too. The system releases it if this process
        dies.

        Raises:
            LockTaken: another process held the lock for `timeout` seconds.
        """
        from huggingface_hub.utils import WeakFileLock

        path = self._locks / f"{etag}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(WeakFileLock(path, timeout=timeout))
            except TimeoutError as error:
                raise LockTaken(etag) from error
            yield

    def prepare(self, commit: str) -> None:
        """Create the directories. huggingface_hub considers a repository without snapshots broken."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        (self.snapshots / commit).mkdir(parents=True, exist_ok=True)

    def link(self, commit: str, file: RemoteFile) -> Path:
        """Link the blob into the snapshot and return the link's path."""
        pointer = self.pointer(commit, file.path)
        blob = self.blob(file)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(blob, pointer.parent)
        if pointer.is_symlink() and os.readlink(pointer) == target:
            return pointer
        try:
            os.symlink(target, pointer)  # replaced atomically, so a kill leaves no half-made link
        except FileExistsError:
            temporary = pointer.with_name(f".{uuid.uuid4().hex}.tmp")
            os.symlink(target, temporary)
            os.replace(temporary, pointer)
        except OSError:
            # The file system has no links (exFAT). Like huggingface_hub, move the blob into the snapshot.
            os.replace(blob, pointer)
        return pointer

    def find(self, commit: str, file: RemoteFile) -> Path | None:
        """Return the path of the complete file, found by hash or name; None if it is missing."""
        blob, pointer = self.blob(file), self.pointer(commit, file.path)
        return next((p for p in (blob, pointer) if p.is_file() and p.stat().st_size == file.size), None)

    def remember_revision(self, revision: str, commit: str) -> None:
        """Record the commit of a branch or tag, so that it can be found offline."""
        if revision == commit:
            return
        ref = self._refs / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        temporary = ref.with_name(f"{ref.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.write_text(commit)
        os.replace(temporary, ref)

    def write_note(self, note: PullNote) -> None:
        """Save a note about a file that is being pulled."""
        self._notes.mkdir(exist_ok=True)
        file = self._notes / f"{_key(note.revision, note.path)}.json"
        temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.write_text(json.dumps(asdict(note)), encoding="utf-8")
        os.replace(temporary, file)

    def drop_note(self, path: str, revision: str) -> None:
        """Delete the note about a file."""
        (self._notes / f"{_key(revision, path)}.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other notes remain, or there was none
            self._notes.rmdir()

    def notes(self) -> list[PullNote]:
        """Return all notes of pulls, without unreadable ones."""
        found = []
        for file in sorted(self._notes.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
                note = PullNote(**json.loads(file.read_text(encoding="utf-8")))
                if all(isinstance(value, str) for value in (note.path, note.revision, note.label)):
                    found.append(note)
        return found

    def drop_part(self, part: Path) -> bool:
        """Delete an incomplete file, unless it is being written. Return True if it is gone."""
        try:
            with self.locked(part.name.split(".")[0], timeout=0.2):
                part.unlink(missing_ok=True)
        except LockTaken:
            return False
        return True

    def drop_parts(self, paths: Iterable[str], revision: str) -> bool:
        """Delete the incomplete files of a pull. Complete files stay.

        Return False if another program is writing one of them, which then stays.
        """
        dropped = True
        for path in paths:
            for part in self.parts(path, revision):
                dropped = self.drop_part(part) and dropped
            if not self.parts(path, revision) and not self._has(path):
                self.drop_note(path, revision)
        self.tidy()
        return dropped

    def _has(self, path: str) -> bool:
        """Return True if any snapshot has the complete file."""
        return any((snapshot / path).exists() for snapshot in self.snapshots.glob("*"))

    def tidy(self) -> None:
        """Remove the repository's empty directories."""
        inside = [
            Path(folder)
            for top in (self.snapshots, self.blobs, self._refs)
            for folder, _, _ in os.walk(top, topdown=False)
        ]
        for folder in (*inside, self._notes, self.root, self._locks):
            with contextlib.suppress(OSError):  # not empty or already gone
                folder.rmdir()


def _key(revision: str, path: str) -> str:
    return hashlib.sha256(f"{revision}\n{path}".encode()).hexdigest()[:8]
