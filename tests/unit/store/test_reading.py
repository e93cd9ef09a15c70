"""A store opened only to be read: whatever its state, it is shown as far as possible and left as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage import database, file_state, reading
from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import StoreError
from tests.support.conversations import full, talk


async def filled(path: Path) -> Conversation:
    store = await Store.open(path)
    conversation = full()
    await store.add(conversation)
    await store.close()
    return conversation


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)


def write_file(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)


def run_read_only(path: Path) -> subprocess.CompletedProcess[str]:
    """Run `READ_ONLY` on a copy of this store that it may not write, where any user may look."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        data = Path(shutil.copytree(path.parent, Path(folder) / "data"))
        for file in data.iterdir():
            file.chmod(0o444)
        data.chmod(0o555)
        words = [sys.executable, "-c", READ_ONLY, str(data / path.name)]
        try:
            return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        finally:
            data.chmod(0o755)


def files(path: Path) -> dict[str, bytes]:
    """The store and what was set aside; not the lock file and SQLite's own."""
    return {
        file.name: file.read_bytes()
        for file in path.parent.iterdir()
        if not file.name.endswith((".lock", "-wal", "-shm"))
    }


async def test_missing_store_reads_as_empty_and_is_not_created(path: Path) -> None:
    store = await Store.open_to_read(path)
    assert (await store.list()).items == ()
    assert await store.find("x") == ()
    with pytest.raises(StoreError, match="cannot be stored"):
        await store.add(talk("q"))
    await store.close()
    assert not path.parent.exists()


@pytest.mark.parametrize("version", [99, -5])
async def test_store_of_any_version_is_read_and_not_set_aside(path: Path, version: int) -> None:
    conversation = await filled(path)
    execute(path, f"PRAGMA user_version = {version}")
    before = files(path)
    store = await Store.open_to_read(path)
    assert store.problem is not None
    assert str(version) in store.problem.message
    assert await store.load(conversation.id) == conversation
    await store.close()
    assert files(path) == before


async def test_negative_version_is_set_aside_by_a_writer(path: Path) -> None:
    await filled(path)
    execute(path, "PRAGMA user_version = -5")
    store = await Store.open(path)
    assert store.problem is not None
    assert "-5" in store.problem.message
    await store.close()


async def test_damaged_store_is_read_as_far_as_it_can_be(path: Path) -> None:
    conversation = await filled(path)
    execute(path, "DROP TABLE tag")
    before = files(path)
    store = await Store.open_to_read(path)
    assert await store.find(conversation.id) == (conversation.id,)
    with pytest.raises(StoreError, match="tag"):
        await store.list()
    await store.close()
    assert files(path) == before


@pytest.mark.parametrize("content", [b"no database at all" * 400, b"SQLite format 3\0" + b"\xff" * 9000])
async def test_opening_a_file_other_than_a_store_fails_and_keeps_it(path: Path, content: bytes) -> None:
    write_file(path, content)
    with pytest.raises(StoreError):
        await Store.open_to_read(path)
    assert files(path) == {path.name: content}


async def test_store_that_another_program_keeps_locked_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = await filled(path)
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr(file_state, "_TIMEOUT_S", 0.1)
    monkeypatch.setattr(reading, "_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        store = await Store.open_to_read(path)
        assert await store.load(conversation.id) == conversation
        await store.close()
        other.execute("ROLLBACK")


READ_ONLY = """
import asyncio, os, sys
from pathlib import Path
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text
from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import StoreError
import encodings.idna, tempfile, shutil

async def main():
    await asyncio.to_thread(print, end="")
    path = Path(sys.argv[1])
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)  # root may write anywhere
    for store in (await Store.open_to_read(path), await Store.open(path)):
        (item,) = (await store.list()).items
        print(item.title, "|", store.problem.title if store.problem else "")
        try:
            await store.rename(item.id, "x")
        except StoreError as error:
            print(error.title)
        await store.close()

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("wal", [False, True])
async def test_store_that_cannot_be_written_is_read(path: Path, wal: bool) -> None:
    store = await Store.open(path)
    await store.add(talk("q", title="Kept"))
    if wal:
        # A copy as of a program that was killed: the words are in the write-ahead log only.
        copies = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    await store.close()
    if wal:
        for name, content in copies.items():
            if not name.endswith("-shm"):
                path.with_name(name).write_bytes(content)
    done = run_read_only(path)
    assert done.stdout.splitlines() == [
        "Kept | ",
        "Conversations cannot be stored",
        "Kept | Conversations can be read, but not stored",
        "Conversations cannot be stored",
    ], done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER UPDATE ON conversation BEGIN DELETE FROM turn; END",
        "DROP VIEW turn_words",
        "ALTER TABLE turn ADD COLUMN more TEXT",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE tag (conversation, position, name)' WHERE name = 'tag'",
    ],
)
async def test_store_with_other_tables_or_triggers_is_set_aside(path: Path, statement: str) -> None:
    await filled(path)
    execute(path, statement)
    store = await Store.open(path)
    assert store.problem is not None
    assert "is not that of a store" in store.problem.message
    await store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE turn SET role = 'robot'",
        "UPDATE turn SET finish_reason = 'x'",
        "UPDATE conversation SET chosen = '[[[],1]]'",
        "UPDATE conversation SET chosen = printf('%.*c', 100000, '[')",
        "UPDATE conversation SET sampling = '7'",
        "UPDATE turn SET provenance = '[]'",
        'UPDATE turn SET parts = \'[{"type": "video"}]\'',
    ],
)
async def test_hostile_values_are_an_error_of_that_conversation(path: Path, statement: str) -> None:
    conversation = await filled(path)
    execute(path, statement)
    store = await Store.open(path)
    assert store.problem is None
    with pytest.raises(StoreError, match="cannot be read"):
        await store.load(conversation.id)
    await store.close()


async def test_impossible_times_are_shown_as_times(path: Path) -> None:
    from spnl_tui.conversations.listing import list_lines, show_lines

    conversation = await filled(path)
    execute(
        path,
        "UPDATE turn SET created_at = 9e999",
        "UPDATE conversation SET updated_at = -9e999, archived = 0",
    )
    execute(path, "UPDATE conversation SET created_at = 1e300")
    store = await Store.open(path)
    assert list(list_lines((await store.list()).items))
    assert list(show_lines(await store.load(conversation.id)))
    await store.close()
