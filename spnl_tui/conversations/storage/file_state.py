"""The state of a store's file before it is opened: whether it can be used, and setting it aside if not."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from spnl_tui.conversations.storage.migrating import Migrations, format_version, migrate
from spnl_tui.conversations.storage.schema import APPLICATION_ID
from spnl_tui.errors import StoreError

_TIMEOUT_S = 10.0
"""The time to wait for the write of another program."""
_DAMAGE = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def unusable(path: Path, migrations: Migrations) -> str:
    """Return why this file cannot be used, as the end of a sentence, or nothing.

    Takes the same time for any size; damage in the midst of the file shows only when it is read.
    """
    newest = len(migrations)
    if not path.exists() or path.stat().st_size == 0:
        return ""
    try:
        connection = sqlite3.connect(path, _TIMEOUT_S)
        try:
            version = format_version(connection)
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
            if version > newest:
                return f"was written by a newer version (format {version}, this program knows {newest})"
            if version < 0:
                return f"is damaged (its format version is {version})"
            if tables and application != APPLICATION_ID:
                return "is not a store of conversations"
            if version and (name := _foreign_object(connection, migrations[:version])):
                return f"is damaged (its {name} is not that of a store)"
            if version:
                connection.execute("SELECT * FROM conversation LIMIT 1").fetchall()
                connection.execute("SELECT * FROM turn ORDER BY key DESC LIMIT 1").fetchall()
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            size = connection.execute("PRAGMA page_size").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        # A table that is not there is SQLITE_ERROR; a lock or a full disk is no damage.
        if error.sqlite_errorcode & 0xFF not in _DAMAGE:
            raise
        return f"is damaged ({error})"
    wal = path.with_name(f"{path.name}-wal")
    if pages * size > path.stat().st_size and not (wal.exists() and wal.stat().st_size):
        return "is damaged (the end of the file is missing)"
    return ""


def _foreign_object(connection: sqlite3.Connection, migrations: Migrations) -> str:
    """Return the name of a table, view or trigger that is not as the migrations make it, or nothing.

    A file may hold a table with other columns, or a trigger that runs whatever its author wanted.
    """
    expected: dict[str, tuple[str, str]]
    found: dict[str, tuple[str, str]]
    listing = "SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL"
    found = {name: (kind, _one_line(sql)) for name, kind, sql in connection.execute(listing)}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        migrate(model, None, migrations)
        expected = {name: (kind, _one_line(sql)) for name, kind, sql in model.execute(listing)}
    for name, made in expected.items():
        if found.get(name) != made:
            return name
    others = (name for name, (kind, _) in found.items() if kind == "trigger" and name not in expected)
    return next(others, "")


def _one_line(sql: str) -> str:
    """Return the statement without its layout, which may differ between versions of this program."""
    return " ".join(sql.split())


def set_aside(path: Path, reason: str) -> StoreError:
    """Rename the file, and what SQLite keeps beside it. Returns what to tell the user."""
    stem = f"{path.name}.aside-{time.strftime('%Y%m%d-%H%M%S')}"
    aside, number = path.with_name(stem), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{stem}-{number}")
    for suffix in ("-wal", "-shm", ""):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.rename(aside.with_name(aside.name + suffix))
    return StoreError(
        "The stored conversations cannot be used",
        f"{path} {reason}. It was set aside, unchanged, as {aside.name}, and a new store was begun.",
        f"To use it again, close spnl-chat and rename {aside.name} back to {path.name}.",
    )
