"""Opening a store only to read it, whatever state it is in: nothing is changed, created or set aside.

SQLite cannot read a file in WAL mode beside which it can make no files, nor one that another program keeps
locked. So what cannot be read in its place is read from a copy.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spnl_tui.conversations.storage.folding import indexed_copy

_TIMEOUT_S = 2.0
_PROBES = ("SELECT key, id FROM conversation LIMIT 1", "SELECT key, id, text FROM turn LIMIT 1")


def open_to_read(
    path: Path, newest: int, migrate: Callable[[sqlite3.Connection], None]
) -> tuple[sqlite3.Connection, int, tempfile.TemporaryDirectory[str] | None]:
    """Open the store in this file. Returns the connection, the format version, and the directory of a copy.

    A missing store is empty. One of an older version is read from a copy in memory, brought up to date by
    `migrate`; one of a newer version is read as it is.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    if not path.exists() or path.stat().st_size == 0:
        empty = _connect(":memory:")
        migrate(empty)
        return empty, newest, None
    connection, folder = _open(path)
    try:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if 0 < version < newest:
            migrated = _connect(":memory:")
            connection.backup(migrated)
            connection.close()
            connection = migrated
            migrate(connection)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        if folder is not None:
            folder.cleanup()
        raise
    return connection, version, folder


def _open(path: Path) -> tuple[sqlite3.Connection, tempfile.TemporaryDirectory[str] | None]:
    uri = path.absolute().as_uri()
    wal = path.with_name(f"{path.name}-wal")
    # Without a write-ahead log with content, the file alone is the whole store.
    alone = not wal.exists() or wal.stat().st_size == 0
    failure: sqlite3.Error | None = None
    for suffix in ("?mode=ro", "?immutable=1") if alone else ("?mode=ro",):
        try:
            with _closed_on_error(_connect(uri + suffix)) as connection:
                return _probed(connection), None
        except sqlite3.Error as error:
            failure = error
    try:
        folder = tempfile.TemporaryDirectory(prefix="spnl-chat-")
        try:
            for name in (path.name, f"{path.name}-wal", f"{path.name}-journal"):
                if (file := path.with_name(name)).exists():
                    shutil.copyfile(file, Path(folder.name) / name)
            with _closed_on_error(_connect((Path(folder.name) / path.name).as_uri())) as connection:
                return _probed(connection), folder
        except BaseException:
            folder.cleanup()
            raise
    except (OSError, sqlite3.Error):
        raise failure or sqlite3.OperationalError("unable to open database file") from None


def _connect(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        database, _TIMEOUT_S, isolation_level=None, check_same_thread=False, uri=database != ":memory:"
    )
    connection.create_function("indexed_copy", 1, indexed_copy, deterministic=True)
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _probed(connection: sqlite3.Connection) -> sqlite3.Connection:
    for probe in _PROBES:
        connection.execute(probe).fetchall()
    return connection


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
