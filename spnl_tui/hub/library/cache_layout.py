"""A repository in the Hugging Face cache, in huggingface_hub's layout.

    <cache>/models--acme--Tiny-GGUF/blobs/<etag>             the content, named by its hash
                                   /blobs/<etag>.<key>.part  what has been pulled of it so far
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
        HubError: HF_ENDPOINT is so wrong that huggingface_hub cannot be imported.
    """
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ValueError:
        check_endpoint()
        raise

    return Path(HF_HUB_CACHE)


NOTES = ".spnl-chat"
"""The folder of a repository with our notes."""


@dataclass(frozen=True, slots=True)
class PullNote:
    """A pull's note on one file, so that the file keeps its name after the pull."""

    path: str
    revision: str
    label: str
    """The name of the quantization among all files of the repository on the hub."""


class LockTaken(Exception):
    """Another program, or another pull, is writing this blob."""


class RepositoryCache:
    """The paths of one repository in a cache directory. The constructor does not touch the disk."""

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
        """Return the repositories in the cache with this name in any case; only the hub knows the
        spelling."""
        wanted = cls(cache, repo).root.name.lower()
        return [cls.at(path) for path in cache.glob("models--*") if path.name.lower() == wanted]

    @classmethod
    def at(cls, root: Path) -> RepositoryCache:
        """Return the repository whose folder this is."""
        return cls(root.parent, root.name.removeprefix("models--").replace("--", "/"))

    def blob(self, file: RemoteFile) -> Path:
        """Return the path of the complete, verified file."""
        return self.blobs / file.etag

    def part(self, file: RemoteFile, revision: str) -> Path:
        """Return the path of the file's part."""
        return self.blobs / f"{file.etag}.{_key(revision, file.path)}.part"

    def parts(self, path: str, revision: str) -> list[Path]:
        """Return all part files for this path of this revision, of any content."""
        key = _key(revision, path)
        return sorted(path for kind in ("part", "*.part") for path in self.blobs.glob(f"*.{key}.{kind}"))

    def parts_of(self, file: RemoteFile) -> list[Path]:
        """Return all part files for this content, of any revision and path."""
        return sorted(self.blobs.glob(f"{file.etag}.*.part"))

    def whole_parts_of(self, file: RemoteFile) -> list[Path]:
        """Return those of them that begin where the file does."""
        return [part for part in self.parts_of(file) if part.name.count(".") == 2]

    def pointer(self, commit: str, path: str) -> Path:
        """Return the path of the file's name in the snapshot.

        Raises:
            PullError: the name would lead out of the snapshot, or cannot be shown.
        """
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not path.isprintable() or "\\" in path or not path:
            raise PullError("A file has an unusable name", f"The repository names it {path!r}.")
        return self.snapshots.joinpath(commit, *pure.parts)

    @contextlib.contextmanager
    def locked(self, etag: str, timeout: float) -> Iterator[None]:
        """Hold the blob's lock, the same that huggingface_hub takes. The system frees it when we die.

        Raises:
            LockTaken: someone else held it all the time. `timeout` is in seconds.
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
        """Make the directories. huggingface_hub takes a repository without snapshots for a broken one."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        (self.snapshots / commit).mkdir(parents=True, exist_ok=True)

    def link(self, commit: str, file: RemoteFile) -> Path:
        """Link the blob from its name in the snapshot, and return that path."""
        pointer = self.pointer(commit, file.path)
        blob = self.blob(file)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(blob, pointer.parent)
        if pointer.is_symlink() and os.readlink(pointer) == target:
            return pointer
        try:
            os.symlink(target, pointer)  # in one step: a kill in between leaves nothing
        except FileExistsError:
            temporary = pointer.with_name(f".{uuid.uuid4().hex}.tmp")
            os.symlink(target, temporary)
            os.replace(temporary, pointer)
        except OSError:
            # A file system without links (exFAT): huggingface_hub then moves the blob to its name, too.
            os.replace(blob, pointer)
        return pointer

    def find(self, commit: str, file: RemoteFile) -> Path | None:
        """Return the complete file by its hash or name; None if it is not there."""
        blob, pointer = self.blob(file), self.pointer(commit, file.path)
        return next((p for p in (blob, pointer) if p.is_file() and p.stat().st_size == file.size), None)

    def remember_revision(self, revision: str, commit: str) -> None:
        """Write down which commit a branch or tag stood for, so that it is found without the network."""
        if revision == commit:
            return
        ref = self._refs / revision
        ref.parent.mkdir(parents=True, exist_ok=True)
        temporary = ref.with_name(f"{ref.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.write_text(commit)
        os.replace(temporary, ref)

    def write_note(self, note: PullNote) -> None:
        """Write down what is being pulled."""
        self._notes.mkdir(exist_ok=True)
        file = self._notes / f"{_key(note.revision, note.path)}.json"
        temporary = file.with_name(f"{file.name}.{uuid.uuid4().hex[:8]}.tmp")
        temporary.write_text(json.dumps(asdict(note)), encoding="utf-8")
        os.replace(temporary, file)

    def drop_note(self, path: str, revision: str) -> None:
        """Delete what was noted of a file."""
        (self._notes / f"{_key(revision, path)}.json").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there are others, or there never was one
            self._notes.rmdir()

    def notes(self) -> list[PullNote]:
        """Return what pulls have noted. A note that cannot be read is left out."""
        found = []
        for file in sorted(self._notes.glob("*.json")):
            with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
                note = PullNote(**json.loads(file.read_text(encoding="utf-8")))
                if all(isinstance(value, str) for value in (note.path, note.revision, note.label)):
                    found.append(note)
        return found

    def drop_part(self, part: Path) -> bool:
        """Delete a part file, unless someone is writing it."""
        try:
            with self.locked(part.name.split(".")[0], timeout=0.2):
                part.unlink(missing_ok=True)
        except LockTaken:
            return False
        return True

    def drop_parts(self, paths: Iterable[str], revision: str) -> bool:
        """Delete what a pull of these files has left. Whole files stay.

        False if a part is being written by another program, and was left.
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
        """True if any snapshot has the whole file."""
        return any((snapshot / path).exists() for snapshot in self.snapshots.glob("*"))

    def tidy(self) -> None:
        """Remove the directories that have nothing in them any more."""
        inside = [
            Path(folder)
            for top in (self.snapshots, self.blobs, self._refs)
            for folder, _, _ in os.walk(top, topdown=False)
        ]
        for folder in (*inside, self._notes, self.root, self._locks):
            with contextlib.suppress(OSError):  # not empty, or not there: both are as they should be
                folder.rmdir()


def _key(revision: str, path: str) -> str:
    return hashlib.sha256(f"{revision}\n{path}".encode()).hexdigest()[:8]
