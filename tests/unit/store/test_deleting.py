"""What is deleted comes back as it was until the store is closed, and is then gone for good."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest

from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import StoreError
from tests.support.conversations import full, talk


async def test_deleted_conversation_is_hidden_until_it_is_restored(store: Store) -> None:
    conversation = talk("zebra")
    await store.add(conversation)
    await store.delete_conversation(conversation.id)
    assert (await store.list()).items == ()
    assert (await store.search("zebra")).hits == ()
    with pytest.raises(StoreError):
        await store.load(conversation.id)
    await store.restore_conversation(conversation.id)
    assert await store.load(conversation.id) == conversation
    assert len((await store.search("zebra")).hits) == 1


@pytest.mark.parametrize("whole", [True, False])
async def test_deleted_turns_come_back_as_they_were(store: Store, whole: bool) -> None:
    conversation = full()
    await store.add(conversation)
    before = dataclasses.replace(await store.load(conversation.id))
    turn = conversation.path()[1]
    deletion = conversation.delete_branch(turn.id) if whole else conversation.delete_turn(turn.id)
    await store.save_deletion(conversation, deletion)
    assert await store.load(conversation.id) == conversation
    conversation.restore(deletion)
    await store.save_restoration(conversation, deletion)
    loaded = await store.load(conversation.id)
    assert list(loaded.turns()) == list(before.turns())
    assert loaded.path() == before.path()


async def test_closing_the_store_purges_deleted_conversations(path: Path) -> None:
    store = await Store.open(path)
    kept, gone = talk("kept zebra", "kept answer"), talk("gone zebra")
    await store.add(kept)
    await store.add(gone)
    await store.delete_conversation(gone.id)
    await store.save_deletion(kept, kept.delete_branch(kept.path()[1].id))
    await store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT text FROM turn").fetchall() == [("kept zebra",)]
    assert connection.execute("SELECT count(*) FROM conversation").fetchone() == (1,)
    connection.execute("INSERT INTO turn_index (turn_index, rank) VALUES ('integrity-check', 1)")
    connection.execute("INSERT INTO title_index (title_index, rank) VALUES ('integrity-check', 1)")
    connection.close()


async def test_streaming_reply_does_not_restore_a_deleted_conversation(store: Store) -> None:
    conversation = talk("q")
    await store.add(conversation)
    reply = conversation.add_turn("assistant", "half")
    await store.save_turn(conversation, reply)
    await store.delete_conversation(conversation.id)
    await store.save_turn(conversation, conversation.append(reply.id, " and whole"))
    assert (await store.list()).items == ()
    await store.restore_conversation(conversation.id)
    assert (await store.load(conversation.id))[reply.id].text == "half and whole"


@pytest.mark.parametrize("purged", [False, True])
async def test_turn_in_a_conversation_deleted_elsewhere_is_saved(
    path: Path, store: Store, purged: bool
) -> None:
    conversation = talk("q", "a")
    await store.add(conversation)
    other = await Store.open(path)
    await other.delete_conversation(conversation.id)
    if purged:
        await other.close()
    await store.save_turn(conversation, conversation.add_turn("user", "still here"))
    if not purged:
        await other.close()
    assert await store.load(conversation.id) == conversation
