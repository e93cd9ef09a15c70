"""The store's file: damaged, newer, older, and in use by two programs at once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage.database import Database, connect
from spnl_tui.conversations.storage.schema import MIGRATIONS
from spnl_tui.conversations.storage.store import INTERRUPTED, Store
from spnl_tui.errors import StoreError
from tests.support.conversations import talk

# ── what is found in its place ───────────────────────────────────────────────────────────────────


async def filled(path: Path, turns: int = 200) -> Conversation:
    store = await Store.open(path)
    conversation = talk(*[f"text number {n} " * 20 for n in range(turns)])
    await store.add(conversation)
    await store.close()
    return conversation


def overwrite(path: Path, page: int, pages: int, page_size: int = 4096) -> None:
    with path.open("r+b") as file:
        file.seek(page * page_size)
        file.write(b"\xff" * pages * page_size)


def execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()


def damage_file(path: Path, damage: str) -> bytes:
    """Damage the file, and return what it then is."""
    if damage == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif damage == "schema":
        overwrite(path, 1, 30, 100)
    else:
        execute(path, "DROP TABLE turn")
    return path.read_bytes()


async def test_only_its_owner_can_read_the_file(path: Path) -> None:
    before = os.umask(0)
    try:
        await (await Store.open(path)).close()
        os.chmod(path, 0o644)
        store = await Store.open(path)
        await store.add(talk("q"))
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        await store.close()
    finally:
        os.umask(before)


async def test_file_other_than_a_store_is_set_aside_unchanged(path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious, but no database " * 500)
    path.parent.mkdir()
    precious.rename(path)
    store = await Store.open(path)
    assert store.problem is not None
    (aside,) = path.parent.glob("*.aside-*")
    assert aside.name in store.problem.message
    assert "damaged" in store.problem.message
    assert aside.read_bytes() == b"precious, but no database " * 500
    conversation = talk("q")
    await store.add(conversation)
    await store.close()
    store = await Store.open(path)
    assert store.problem is None
    assert await store.load(conversation.id) == conversation
    await store.close()


@pytest.mark.parametrize("damage", ["truncated", "schema", "dropped table"])
async def test_damaged_store_is_set_aside(path: Path, damage: str) -> None:
    await filled(path)
    before = damage_file(path, damage)
    store = await Store.open(path)
    assert store.problem is not None
    (aside,) = path.parent.glob("*.aside-*")
    assert aside.read_bytes() == before
    await store.add(talk("q"))
    await store.close()


async def test_newer_store_is_set_aside_and_can_be_put_back(path: Path) -> None:
    conversation = await filled(path)
    execute(path, "PRAGMA user_version = 99")
    store = await Store.open(path)
    assert store.problem is not None
    assert "newer version" in store.problem.message
    await store.close()
    (aside,) = path.parent.glob("*.aside-*")
    aside.rename(path)
    execute(path, f"PRAGMA user_version = {len(MIGRATIONS)}")
    store = await Store.open(path)
    assert await store.load(conversation.id) == conversation
    await store.close()


async def test_newer_store_in_use_is_left_alone(path: Path, store: Store) -> None:
    execute(path, "PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="another version"):
        await Store.open(path)
    assert not list(path.parent.glob("*.aside-*"))


async def test_damage_found_later_raises_a_store_error(path: Path) -> None:
    conversation = await filled(path, 600)
    overwrite(path, 30, 60)
    store = await Store.open(path)
    if store.problem is None:
        with pytest.raises(StoreError, match="could not be read"):
            await store.load(conversation.id)
    await store.close()


async def test_impossible_path_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        await Store.open(tmp_path / "file" / "conversations.db")


# ── migrations ───────────────────────────────────────────────────────────────────────────────────


def test_older_store_is_migrated_after_a_backup(path: Path) -> None:
    first = (*MIGRATIONS, ("CREATE TABLE novelty (a)",))
    database, problem = Database.open(path, lambda _: None)
    asyncio.run(database.close())
    connection = connect(path)
    connection.execute(
        "INSERT INTO conversation VALUES (1, 'id', 1, 1, 0, 0, 0, 1, 't', '', '{}', '[]', '', NULL)"
    )
    connection.close()
    database, problem = Database.open(path, lambda _: None, first)
    assert problem is None
    asyncio.run(database.close())
    connection = connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(first),)
    assert connection.execute("SELECT * FROM novelty").fetchall() == []
    assert connection.execute("SELECT id FROM conversation").fetchall() == [("id",)]
    connection.close()
    backup = path.with_name(f"{path.name}.version-{len(MIGRATIONS)}")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    connection = sqlite3.connect(backup)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("SELECT id FROM conversation").fetchall() == [("id",)]
    connection.close()


def test_failed_migration_changes_nothing(path: Path) -> None:
    database, _ = Database.open(path, lambda _: None)
    asyncio.run(database.close())
    with pytest.raises(StoreError):
        Database.open(path, lambda _: None, (*MIGRATIONS, ("CREATE TABLE novelty (a)", "nonsense")))
    connection = connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'novelty'").fetchall() == []
    connection.close()


# ── two programs ─────────────────────────────────────────────────────────────────────────────────


OTHER_PROGRAM = """
import asyncio, sys
from pathlib import Path
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage.store import Store

async def main():
    store = await Store.open(Path(sys.argv[1]))
    assert store.problem is None
    print("open", flush=True)
    for number in range(40):
        conversation = Conversation(title=f"{sys.argv[2]} {number}")
        await store.save_turn(conversation, conversation.add_turn("user", "q"))
    sys.stdin.readline()
    await store.close()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_two_programs_write_at_once(path: Path) -> None:
    programs = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", OTHER_PROGRAM, str(path), name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    for program in programs:
        out, _ = await program.communicate(b"\n")
        assert (out, program.returncode) == (b"open\n", 0)
    store = await Store.open(path)
    assert len((await store.list(limit=100)).items) == 80
    await store.close()


async def test_reply_of_a_running_program_is_not_ended(path: Path) -> None:
    one = await Store.open(path)
    conversation = talk("q")
    await one.add(conversation)
    reply = conversation.add_turn("assistant", "half")
    await one.save_turn(conversation, reply)
    two = await Store.open(path)
    assert (await two.load(conversation.id))[reply.id].streaming
    await one.close()
    await two.close()
    alone = await Store.open(path)
    ended = (await alone.load(conversation.id))[reply.id]
    assert (ended.text, ended.finish_reason, ended.error) == ("half", "failed", INTERRUPTED)
    assert [hit.turn for hit in (await alone.search("half")).hits] == [reply.id]
    await alone.close()
