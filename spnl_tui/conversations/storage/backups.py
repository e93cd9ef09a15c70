"""Check, copy and restore the file of a store. Blocking; for a process that has not opened the store.

A backup is made with SQLite's backup API (https://www.sqlite.org/backup.html) from one state of the file,
also while other programs write. Files appear whole, by one rename. Images are not in it: they lie beside the
store and are never changed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from spnl_tui.conversations.storage.database import exclusive, store_error
from spnl_tui.conversations.storage.file_state import unusable
from spnl_tui.conversations.storage.schema import MIGRATIONS
from spnl_tui.errors import StoreError, cause_of

_SHOWN = 20
"""The most problems that a check names."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check."""

    problems: tuple[str, ...]
    conversations: int
    turns: int


def check(path: Path) -> Check:
    """Read the whole file and return what is wrong with it.

    Raises:
        StoreError: there is no store, or it is busy.
    """
    if not path.exists():
        raise StoreError("There is no store yet", f"{path} does not exist.", "Nothing was stored so far.")
    try:
        if reason := unusable(path, MIGRATIONS):
            return Check((f"The file {reason}.",), 0, 0)
        with closing(_connect(path)) as connection:
            found = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_SHOWN})")]
            problems = [] if found == ["ok"] else found
            broken = connection.execute("PRAGMA foreign_key_check").fetchmany(_SHOWN)
            problems += [f"{row[0]}, row {row[1]}, refers to a missing row of {row[2]}" for row in broken]
            conversations, turns = (
                connection.execute(f"SELECT count(*) FROM {table} WHERE NOT deleted").fetchone()[0]
                for table in ("conversation", "turn")
            )
        return Check(tuple(problems), conversations, turns)
    except sqlite3.DatabaseError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN):
            raise store_error(error, path) from error
        return Check((str(error),), 0, 0)


def back_up(path: Path, target: Path) -> int:
    """Copy the store to another file and return its size in bytes. A file there is replaced at the end.

    Raises:
        StoreError: the store cannot be read, or the file cannot be written.
    """
    if not path.exists():
        raise StoreError("There is nothing to back up", f"{path} does not exist.")
    with _new_file(target) as partial:
        try:
            with closing(_connect(path)) as source, closing(sqlite3.connect(partial)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            raise store_error(error, path) from error
        if reason := unusable(partial, MIGRATIONS):
            raise StoreError("The backup failed", f"{path} {reason}.", "See: spnl-chat history check")
    return target.stat().st_size


def back_up_today(path: Path, folder: Path, keep: int) -> Path | None:
    """Make the backup of this day, unless it exists, and delete the oldest beyond `keep`.

    Returns the file; None if there was nothing to do.

    Raises:
        StoreError: as `back_up`.
    """
    target = backup_of_today(folder)
    if not keep or target.exists() or not path.exists():
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    back_up(path, target)
    for old in sorted(folder.glob("conversations-????-??-??.db"), reverse=True)[keep:]:
        old.unlink(missing_ok=True)
    return target


def backup_of_today(folder: Path) -> Path:
    """Return the path of today's automatic backup."""
    return folder / f"conversations-{date.today().isoformat()}.db"


def backups_in(folder: Path) -> list[Path]:
    """Return the backups in this folder, the newest first."""
    return sorted(folder.glob("conversations-*.db"), reverse=True)


def restore(path: Path, backup: Path) -> Path | None:
    """Put a backup into the place of the store. Return where the store is now; None if there was none.

    At every moment the file at `path` is either the store of before or the whole backup.

    Raises:
        StoreError: the backup is no sound store, or another program has the store open.
    """
    if not backup.exists():
        raise StoreError(
            "There is no such backup", f"{backup} does not exist.", "See: spnl-chat history restore"
        )
    if problems := check(backup).problems:
        raise StoreError("The backup is damaged", f"{backup}: {problems[0]}", "Choose another one.")
    with exclusive(path):
        aside = None
        if path.exists():
            # Until now, part of the content may be in the write-ahead log, which belongs to this file only.
            with contextlib.suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            aside = _free_name(path.with_name(f"{path.name}.before-restore-{date.today().isoformat()}"))
            os.link(path, aside)
        with _new_file(path) as partial:
            with closing(_connect(backup)) as source, closing(sqlite3.connect(partial)) as copy:
                source.backup(copy)
            for suffix in ("-wal", "-shm"):
                path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
    return aside


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Yield the path of a file that takes the target's place at the end, if nothing failed."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for stale in target.parent.glob(f".{target.name}.*.part"):
            if time.time() - stale.stat().st_mtime > 3600:
                stale.unlink(missing_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        os.close(descriptor)
        partial = Path(name)
        try:
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            "The file cannot be written",
            f"{error.filename or target}: {cause_of(error)}.",
            "Check the directory and the space on the disk.",
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", 10.0, uri=True)


def _free_name(path: Path) -> Path:
    names = [path, *(path.with_name(f"{path.name}-{number}") for number in range(2, 1000))]
    return next(name for name in names if not name.exists())
