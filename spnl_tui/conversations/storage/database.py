"""The SQLite file below the store: opens it safely and works on it in its own threads.

All programs that have a store open hold a shared lock on the file beside it, NAME.lock. A program that gets
an exclusive lock while it opens or closes the store knows that no other program writes. Only then does it
migrate the file, set it aside, or clear up after a killed program. The system releases the lock of a
process however it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from spnl_tui.conversations.storage.file_state import set_aside, unusable
from spnl_tui.conversations.storage.migrating import Migrations, format_version, migrate, transact
from spnl_tui.conversations.storage.reading import open_to_read
from spnl_tui.conversations.storage.schema import MIGRATIONS
from spnl_tui.errors import StoreError, cause_of

T = TypeVar("T")

BUSY_TIMEOUT_S = 10.0
"""The time one program waits for the write of another."""
_LEAST_ROOM = 1_000_000
"""Bytes."""


class Database:
    """One open SQLite file: a connection that writes and one that reads, each in its own thread.

    `work` that is passed to `read` or `write` runs in that thread, in one transaction. Every sqlite3.Error
    becomes a StoreError.
    """

    def __init__(
        self,
        path: Path,
        reading: sqlite3.Connection,
        writing: sqlite3.Connection | None = None,
        lock: int | None = None,
        copy: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self._path = path
        self._lock = lock
        self._copy = copy
        self._closed = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._writing = writing
        self._reading = reading
        self._reading.execute("PRAGMA query_only = ON")

    @classmethod
    def open(
        cls,
        path: Path,
        clear_up: Callable[[sqlite3.Connection], None],
        migrations: Migrations = MIGRATIONS,
        *,
        may_set_aside: bool = True,
    ) -> tuple[Database, StoreError | None]:
        """Open or create the file. Blocking.

        A file that is damaged, or of a newer version, is renamed, and a new one takes its place: the error
        that comes with the database then says so. With `may_set_aside` false it is a StoreError. `clear_up`
        runs in a transaction if no other program has the file open.

        Raises:
            StoreError: no store can be opened at this path.
        """
        problem = None
        lock = -1
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            alone = _lock(lock)
            if reason := unusable(path, migrations):
                if not may_set_aside:
                    raise StoreError("The stored conversations cannot be used", f"{path} {reason}.")
                if not alone:
                    raise StoreError(
                        "Conversations are in use by another version",
                        f"{path} {reason}, and another program has it open.",
                        "End the other program and start again.",
                    )
                problem = set_aside(path, reason)
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            connection = connect(path)
            try:
                if alone:
                    migrate(connection, path, migrations)
                    transact(connection, clear_up)
                elif format_version(connection) < len(migrations):
                    raise StoreError(
                        "Conversations are in use by an older version",
                        f"{path} must be brought up to date, and another program has it open.",
                        "End the other program and start again.",
                    )
            finally:
                connection.close()
            fcntl.flock(lock, fcntl.LOCK_SH)
            return cls(path, connect(path), connect(path), lock), problem
        except BaseException as error:
            if lock >= 0:
                os.close(lock)
            if isinstance(error, sqlite3.Error):
                raise store_error(error, path) from error
            if isinstance(error, OSError):
                raise StoreError(
                    "Conversations cannot be stored",
                    f"{path} cannot be opened: {cause_of(error)}.",
                    "Check that the directory can be written to and that the disk is not full.",
                ) from error
            raise

    @classmethod
    def open_to_read(
        cls, path: Path, migrations: Migrations = MIGRATIONS
    ) -> tuple[Database, StoreError | None]:
        """Open the file only to read it, in whatever state it is. Blocking.

        Nothing is changed. The error that comes with the database says why a part may be missing.

        Raises:
            StoreError: nothing in it can be read.
        """
        newest = len(migrations)
        try:
            connection, version, copy = open_to_read(
                path, newest, lambda connection: migrate(connection, None, migrations)
            )
        except sqlite3.Error as error:
            raise store_error(error, path) from error
        except OSError as error:
            raise StoreError(
                "Conversations cannot be read", f"{path}: {cause_of(error)}.", "Check the path."
            ) from error
        problem = None
        if not 0 < version <= newest:
            problem = StoreError(
                "The stored conversations may be shown in part",
                f"{path} has format {version}; this program knows {newest}.",
                "Update spnl-chat." if version > newest else "",
            )
        return cls(path, connection, copy=copy), problem

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction that writes. It is carried out even if the caller is cancelled.

        Raises:
            StoreError: it failed, or the store was opened only to be read.
        """
        if self._writing is None:
            raise StoreError(
                "Conversations cannot be stored",
                f"{self._path} can only be read.",
                "Check its permissions, and that the disk is not full or read-only; then start again.",
            )
        return await asyncio.shield(self._run(self._writer, self._writing, "BEGIN IMMEDIATE", work))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction that sees one state of the file throughout."""
        return await self._run(self._reader, self._reading, "BEGIN", work)

    async def close(self, clear_up: Callable[[sqlite3.Connection], None] = lambda _: None) -> None:
        """Finish the work that was asked for and close the file. Refuse later work.

        `clear_up` runs in a transaction if no other program has the file open.

        Raises:
            StoreError: `clear_up` failed. The file is closed all the same.
        """
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._close, clear_up)

    def _close(self, clear_up: Callable[[sqlite3.Connection], None]) -> None:
        self._reading.interrupt()
        self._reader.shutdown()
        self._writer.shutdown()
        self._reading.close()
        try:
            if self._writing is not None and self._lock is not None and _lock_alone(self._lock):
                transact(self._writing, clear_up)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error
        finally:
            if self._writing is not None:
                self._writing.close()
            if self._lock is not None:
                os.close(self._lock)
            if self._copy is not None:
                self._copy.cleanup()

    async def _run(
        self,
        thread: ThreadPoolExecutor,
        connection: sqlite3.Connection,
        begin: str,
        work: Callable[[sqlite3.Connection], T],
    ) -> T:
        if self._closed:
            raise StoreError("Conversations are closed", f"{self._path} was closed already.")
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, transact, connection, work, begin)
        except sqlite3.Error as error:
            raise store_error(error, self._path) from error


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the store's lock as its only program.

    Raises:
        StoreError: another program has the store open.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _lock_alone(lock):
            raise StoreError(
                "Conversations are in use", f"Another program has {path} open.", "End it and try again."
            )
        yield
    finally:
        os.close(lock)


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection with the settings that the store relies on."""
    # Created in one thread and used in another, but never in two at once.
    connection = sqlite3.connect(path, BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # When a commit returns, it is on the disk, so prompts also survive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    return connection


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the error, reworded for the user."""
    hints = {
        "SQLITE_FULL": "The disk is full: make room and try again.",
        "SQLITE_BUSY": "Another program is writing to it: try again.",
        "SQLITE_READONLY": "The file cannot be written to: check its permissions.",
        "SQLITE_CORRUPT": "Start again: the damaged file is then set aside and a new one is begun.",
        "SQLITE_NOTADB": "Start again: the damaged file is then set aside and a new one is begun.",
    }
    name: str = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and _is_full(path.parent):
        name = "SQLITE_FULL"
    hint = next((text for code, text in hints.items() if name.startswith(code)), "")
    return StoreError("The conversations could not be read or written", f"{path}: {error}.", hint)


def _is_full(folder: Path) -> bool:
    """True if the disk has no room for what SQLite writes beside a store."""
    try:
        return shutil.disk_usage(folder).free < _LEAST_ROOM
    except OSError:
        return False


def _lock(lock: int) -> bool:
    """Lock the file, exclusively if no other program has it open. Returns True if the lock is exclusive."""
    if _lock_alone(lock):
        return True
    # Another program keeps the file locked only while it opens or closes the store.
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise StoreError(
                    "Conversations are in use", "Another program keeps them locked.", "Try again later."
                ) from None
            time.sleep(0.02)
        else:
            return False


def _lock_alone(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
