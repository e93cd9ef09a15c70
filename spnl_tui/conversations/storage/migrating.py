"""Transactions, and the migrations of a store's file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from spnl_tui.conversations.storage.folding import indexed_copy

T = TypeVar("T")
Migrations = tuple[tuple[str, ...], ...]


def transact(
    connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], begin: str = "BEGIN IMMEDIATE"
) -> T:
    """Run `work` in a transaction, and undo it if it fails."""
    connection.execute(begin)
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def format_version(connection: sqlite3.Connection) -> int:
    """Return the format version of the file: the number of migrations that it has had."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(connection: sqlite3.Connection, path: Path | None, migrations: Migrations) -> None:
    """Apply the missing migrations, each in one transaction, and each after a copy of the file at `path`."""
    connection.create_function("indexed_copy", 1, indexed_copy, deterministic=True)
    for number in range(format_version(connection), len(migrations)):
        if number and path is not None:
            _back_up(connection, path.with_name(f"{path.name}.version-{number}"))

        def apply(connection: sqlite3.Connection, number: int = number) -> None:
            for statement in migrations[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")

        transact(connection, apply)


def _back_up(connection: sqlite3.Connection, copy: Path) -> None:
    partial = copy.with_name(f"{copy.name}.part")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    target = sqlite3.connect(partial)
    try:
        connection.backup(target)
    finally:
        target.close()
    partial.rename(copy)
