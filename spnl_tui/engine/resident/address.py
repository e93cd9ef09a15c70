"""The socket of the resident engine, to which only processes of the same user may connect.

The socket lies in the user's runtime directory, which only that user can enter. Both sides also ask the
kernel for the user at the other end, because another user may have created the directory.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import struct
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.errors import SpnlError, cause_of

_LONGEST_PATH = 100
"""Bytes; the kernel allows 108 on Linux and 104 on macOS."""
_LOCAL_PEERCRED = 1
"""The socket option from sys/un.h on macOS; its level SOL_LOCAL is 0."""


@dataclass(frozen=True, slots=True)
class ResidentAddress:
    """The address of one user's resident engine."""

    socket: Path
    identity: str
    """The version and settings that must be the same in a client and its resident engine."""

    @classmethod
    def within(cls, runtime: Path, state: Path, identity: str) -> ResidentAddress:
        """Return the address in this runtime directory.

        Homes that share a runtime directory differ in `state`, so they get different sockets.
        """
        name = f"engine-{hashlib.sha256(os.fsencode(state)).hexdigest()[:8]}.sock"
        path = runtime / name
        if len(os.fsencode(path)) > _LONGEST_PATH:
            short = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
            path = Path(tempfile.gettempdir()) / f"spnl-chat-{os.getuid()}" / f"{short}.sock"
        return cls(path, identity)

    @property
    def lock(self) -> Path:
        """The file that a running resident engine keeps locked."""
        return self.socket.with_suffix(".lock")

    def make_directory(self) -> None:
        """Create the directory of the socket for this user only.

        Raises:
            SpnlError: the directory cannot be created, or belongs to another user.
        """
        folder = self.socket.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise SpnlError(
                "The resident engine cannot create its socket",
                f"{folder} cannot be created: {cause_of(error)}.",
                "Set XDG_RUNTIME_DIR to a directory that you own.",
            ) from error
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
            raise SpnlError(
                "The resident engine has no safe directory for its socket",
                f"{folder} belongs to another user.",
                "Set XDG_RUNTIME_DIR to a directory that you own.",
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)


def peer_uid(connection: socket.socket) -> int:
    """Return the user id of the process at the other end.

    Raises:
        OSError: the system cannot tell.
    """
    if sys.platform == "darwin":
        credentials = connection.getsockopt(0, _LOCAL_PEERCRED, 76)  # the size of struct xucred
        return int(struct.unpack_from("=II", credentials)[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)  # the size of struct ucred
    return int(struct.unpack("3i", credentials)[1])


def is_own_peer(connection: socket.socket) -> bool:
    """Return True if the process at the other end belongs to this user."""
    try:
        return peer_uid(connection) == os.getuid()
    except OSError:
        return False
