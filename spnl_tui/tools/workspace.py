"""Files below one folder, and nothing outside it, wherever links lead and whoever changes them meanwhile.

A path is walked one name at a time from the folder's descriptor, and no step follows a link: links are read
and walked like the rest of the path. A name that becomes a link between the check and its use is refused by
the system (O_NOFOLLOW). `..` goes back along the walked descriptors, never along the file system's own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from spnl_tui.errors import cause_of
from spnl_tui.tools.tool import ToolError

MOST_BYTES = 4_000_000
"""The longest file that is read or written."""
_MOST_LINKS = 40
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Workspace:
    """The folder that file tools are confined to."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def relative(self, path: str) -> str:
        """Return the path as the user sees it: relative to the workspace, links not followed."""
        parts: list[str] = []
        for part in self._parts(path):
            if part == "..":
                if not parts:
                    raise _outside(path)
                parts.pop()
            else:
                parts.append(part)
        return "/".join(parts) or "."

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            ToolError: there is none, it is not a regular file, is too long or outside the workspace.
        """
        with self._parent(path) as (folder, name):
            try:
                # O_NONBLOCK: opening a FIFO would wait for its writer.
                descriptor = os.open(
                    name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
                )
            except OSError as error:
                raise _failed("read", path, error) from error
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise ToolError(f"{path} is not a regular file.")
                if status.st_size > MOST_BYTES:
                    raise ToolError(f"{path} has {status.st_size:,} bytes; at most {MOST_BYTES:,} are read.")
                return file.read(MOST_BYTES)

    def write(self, path: str, data: bytes, *, expected: bytes | None) -> None:
        """Replace a file at once, or create it with its folders. Its mode is kept.

        `expected` is what the file must hold now; None if it must not exist.

        Raises:
            ToolError: it holds something else now, or cannot be written.
        """
        if len(data) > MOST_BYTES:
            raise ToolError(f"The text has {len(data):,} bytes; at most {MOST_BYTES:,} are written.")
        with self._parent(path, create=True) as (folder, name):
            mode = 0o666 & ~_umask()
            if expected is not None:
                if self.read(path) != expected:
                    raise ToolError(f"{path} has changed in the meantime. Read it again.")
                mode = stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
            elif _exists(name, folder):
                raise ToolError(f"{path} has been created in the meantime. Read it first.")
            temporary = f".{name[:200]}.{os.urandom(4).hex()}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(temporary, flags, mode, dir_fd=folder)
                try:
                    with os.fdopen(descriptor, "wb") as file:
                        os.fchmod(descriptor, mode)
                        file.write(data)
                    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(temporary, dir_fd=folder)
                    raise
            except OSError as error:
                raise _failed("write", path, error) from error

    def exists(self, path: str) -> bool:
        """Return True if there is something at this path."""
        try:
            with self._parent(path) as (folder, name):
                return _exists(name, folder)
        except ToolError:
            return False

    def entries(self, path: str) -> list[tuple[str, os.stat_result]]:
        """Return the names in a folder with their status, in order. Links are not followed."""
        with self._folder(path) as folder:
            found = []
            for name in sorted(os.listdir(folder)):
                with suppress(OSError):  # it has gone
                    found.append((name, os.stat(name, dir_fd=folder, follow_symlinks=False)))
            return found

    def files(self, path: str) -> Iterator[str]:
        """Yield the regular files below a folder, relative to the workspace. Hidden folders are left out."""
        pending = [self.relative(path)]
        while pending:
            here = pending.pop()
            folders = []
            try:
                found = self.entries(here)
            except ToolError:
                continue
            for name, status in found:
                below = name if here == "." else f"{here}/{name}"
                if stat.S_ISDIR(status.st_mode) and not name.startswith("."):
                    folders.append(below)
                elif stat.S_ISREG(status.st_mode):
                    yield below
            pending += reversed(folders)

    # ── walking ──────────────────────────────────────────────────────────────────────────────────

    def _parts(self, path: str) -> list[str]:
        if "\0" in path or not path:
            raise ToolError("The path is empty or not valid.")
        pure = Path(path).expanduser() if path.startswith("~") else Path(path)
        if pure.is_absolute():
            try:
                pure = pure.relative_to(self.root)
            except ValueError:
                raise _outside(path) from None
        return [part for part in pure.parts if part != "."]

    @contextmanager
    def _folder(self, path: str) -> Iterator[int]:
        with ExitStack() as stack:
            yield self._walk(path, self._parts(path), stack, create=False)

    @contextmanager
    def _parent(self, path: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
        """Yield the descriptor of the folder that holds the file, and its name there; links are resolved."""
        parts = self._parts(path)
        for _ in range(_MOST_LINKS):
            if not parts:
                raise ToolError(f"{path} is a folder.")
            with ExitStack() as stack:
                folder = self._walk(path, parts[:-1], stack, create=create)
                name = parts[-1]
                if name == "..":
                    raise ToolError(f"{path} is a folder.")
                target = _link_target(name, folder)
                if target is None:
                    yield folder, name
                    return
            parts = [*(() if os.path.isabs(target) else parts[:-1]), *self._target_parts(path, target)]
        raise ToolError(f"{path} leads through too many links.")

    def _walk(self, path: str, parts: list[str], stack: ExitStack, *, create: bool) -> int:
        try:
            walked = [os.open(self.root, _FOLDER)]
        except OSError as error:
            raise _failed("open", str(self.root), error) from error
        stack.callback(os.close, walked[0])
        pending, links = list(reversed(parts)), 0
        while pending:
            part = pending.pop()
            if part == "..":
                if len(walked) == 1:
                    raise _outside(path)
                walked.pop()
                continue
            target = _link_target(part, walked[-1])
            if target is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise ToolError(f"{path} leads through too many links.")
                if os.path.isabs(target):
                    del walked[1:]
                pending += reversed(self._target_parts(path, target))
                continue
            try:
                if create and not _exists(part, walked[-1]):
                    os.mkdir(part, dir_fd=walked[-1])
                descriptor = os.open(part, _FOLDER, dir_fd=walked[-1])
            except OSError as error:
                raise _failed("open", path, error) from error
            stack.callback(os.close, descriptor)
            walked.append(descriptor)
        return walked[-1]

    def _target_parts(self, path: str, target: str) -> list[str]:
        pure = Path(target)
        if pure.is_absolute():
            try:
                pure = pure.relative_to(self.root)
            except ValueError:
                raise _outside(path) from None
        return [part for part in pure.parts if part != "."]


def _link_target(name: str, folder: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:  # it is no link, or there is nothing
        return None


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _outside(path: str) -> ToolError:
    return ToolError(f"{path} is outside the workspace. Only files below it can be used.")


def _failed(verb: str, path: str, error: OSError) -> ToolError:
    return ToolError(f"Cannot {verb} {path}: {cause_of(error)}.")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
