"""Read text files that the user names: bounded, in UTF-8, and without waiting for a FIFO or a device."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from spnl_tui.errors import cause_of
from spnl_tui.text import in_bytes

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
}


class UnreadableFileError(Exception):
    """A file cannot be read as text. `str()` gives the reason as a clause: "it is a FIFO"."""


def read_text_file(path: Path, max_bytes: int, *, pipes: bool = False) -> str:
    """Return the text of a regular file, without its byte order mark.

    FIFOs, sockets, devices and directories are rejected before they are opened, because opening a FIFO waits
    for a writer and reading a device may never end. With `pipes`, a pipe that the shell hands over is read to
    its end: `/dev/stdin`, and `/dev/fd/63` for `<(command)`. Pass it only where a signal ends the wait.

    Raises:
        UnreadableFileError: it is missing, of another kind, larger than `max_bytes`, or not UTF-8.
    """
    return decode_text(read_file_bytes(path, max_bytes, pipes=pipes))


def read_file_bytes(path: Path, max_bytes: int, *, pipes: bool = False) -> bytes:
    """Return the content of a file as `read_text_file` does, before it is decoded.

    Raises:
        UnreadableFileError: it is missing, of another kind, or larger than `max_bytes`.
    """
    try:
        pipes = pipes and _is_inherited(path)
        _check_kind(os.stat(path), pipes)
        # Without O_NONBLOCK, a FIFO that took the file's place since the check would block here.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            _check_kind(status, pipes)
            if stat.S_ISFIFO(status.st_mode):
                os.set_blocking(descriptor, True)
            if status.st_size > max_bytes:
                raise UnreadableFileError(
                    f"it has {in_bytes(status.st_size)}; the limit is {in_bytes(max_bytes)}"
                )
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        reason = "it is a link to a file that does not exist" if path.is_symlink() else "it does not exist"
        raise UnreadableFileError(reason) from None
    except PermissionError:
        raise UnreadableFileError("you may not read it") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise UnreadableFileError(cause_of(error)) from error
    if len(data) > max_bytes:
        raise UnreadableFileError(f"it has more than {in_bytes(max_bytes)}")
    return data


def open_file(path: Path) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises:
        UnreadableFileError: it is of another kind.
        OSError: it cannot be opened.
    """
    _check_kind(os.stat(path), pipes=False)
    file = open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")  # noqa: SIM115
    try:
        _check_kind(os.fstat(file.fileno()), pipes=False)
    except UnreadableFileError:
        file.close()
        raise
    return file


def decode_text(data: bytes) -> str:
    """Return `data` decoded from UTF-8, without its byte order mark.

    Raises:
        UnreadableFileError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"byte {error.start:,} is not UTF-8") from error


def _check_kind(status: os.stat_result, pipes: bool) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFREG or (kind == stat.S_IFIFO and pipes):
        return
    raise UnreadableFileError(f"it is {_KINDS.get(kind, 'of an unknown kind')}, and only files are read")


def _is_inherited(path: Path) -> bool:
    # The other end is open already, so neither opening nor reading it waits for a program that never comes.
    return path == Path("/dev/stdin") or path.parent in (Path("/dev/fd"), Path("/proc/self/fd"))
