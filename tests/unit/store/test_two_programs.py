"""Two programs show one conversation, each its own copy: no turn is lost or hidden by what the other does."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.copies import fork
from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import StoreError
from tests.support.conversations import talk

SAID = ("q1", "a1", "q2", "a2", "q3", "a3")


@pytest.fixture
async def other(store: Store, path: Path) -> AsyncIterator[Store]:
    """The same store, opened by another program."""
    other = await Store.open(path)
    yield other
    await other.close()


@pytest.fixture
async def here(store: Store) -> Conversation:
    """The conversation as the first program shows it."""
    conversation = talk(*SAID, title="t")
    await store.add(conversation)
    return await store.load(conversation.id)


@pytest.fixture
async def there(here: Conversation, other: Store) -> Conversation:
    """The conversation as the other program shows it."""
    return await other.load(here.id)


async def said(store: Store, conversation: Conversation) -> list[str]:
    """The texts of the active branch, as the next program to open the conversation shows it."""
    return [turn.text for turn in (await store.load(conversation.id)).path()]


async def send(store: Store, conversation: Conversation, text: str = "more") -> None:
    await store.save_turn(conversation, conversation.add_turn("user", text))


async def delete_branch(store: Store, conversation: Conversation, place: int) -> None:
    deletion = conversation.delete_branch(conversation.path()[place].id)
    await store.save_deletion(conversation, deletion)


async def delete_turn(store: Store, conversation: Conversation, place: int) -> None:
    deletion = conversation.delete_turn(conversation.path()[place].id)
    await store.save_deletion(conversation, deletion)


def purge(path: Path) -> None:
    """Forget what is deleted for good, as a program of version 0.1.0 did whenever it closed the store."""
    from spnl_tui.conversations.storage.database import connect

    connection = connect(path)
    connection.execute("DELETE FROM turn WHERE deleted = 1")
    connection.execute("DELETE FROM conversation WHERE deleted = 1")
    connection.close()


# ── deleting a branch ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("purged", [False, True])
@pytest.mark.parametrize("place", [0, 1, 3])
async def test_continuing_a_branch_that_another_program_deleted_restores_it(
    store: Store, other: Store, here: Conversation, there: Conversation, path: Path, place: int, purged: bool
) -> None:
    await delete_branch(other, there, place)
    if purged:
        purge(path)
    await send(store, here)
    assert await said(store, here) == [*SAID, "more"]
    assert list((await store.load(here.id)).turns()) == list(here.turns())


async def test_deleting_a_branch_that_another_program_continued_keeps_it(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    there.branch_from(there.path()[4].id, "q3 edited")
    await other.save_turn(there, there.path()[-1])
    there.select(here.path()[-1].id)
    await send(other, there, "from there")
    await delete_branch(store, here, 2)
    stored = await store.load(here.id)
    assert [turn.text for turn in stored.path()] == [*SAID, "from there"]
    assert "q3 edited" in [turn.text for turn in stored.turns()]


async def test_editing_below_a_deleted_branch_restores_only_turns_above(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await delete_branch(other, there, 2)
    await store.save_turn(here, here.branch_from(here.path()[4].id, "q3 edited"))
    stored = await store.load(here.id)
    assert [turn.text for turn in stored.path()] == ["q1", "a1", "q2", "a2", "q3 edited"]
    assert len(stored) == 5


async def test_pinning_a_turn_that_another_program_deleted_restores_it(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await delete_branch(other, there, 2)
    turn = dataclasses.replace(here.path()[3], pinned=True)
    here.update_turn(turn)
    await store.save_turn_pin(here, turn)
    assert [(t.text, t.pinned) for t in (await store.load(here.id)).path()][2:] == [
        ("q2", False),
        ("a2", True),
    ]


async def test_walking_to_a_branch_that_another_program_deleted_keeps_it_deleted(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await delete_branch(other, there, 2)
    await store.save_choice(here)
    assert await said(store, here) == ["q1", "a1"]


@pytest.mark.parametrize("purged", [False, True])
async def test_undoing_a_deletion_restores_turns_deleted_above(
    store: Store, other: Store, here: Conversation, there: Conversation, path: Path, purged: bool
) -> None:
    deletion = here.delete_branch(here.path()[4].id)
    await store.save_deletion(here, deletion)
    await delete_branch(other, there, 2)
    if purged:
        purge(path)
    here.restore(deletion)
    await store.save_restoration(here, deletion)
    assert await said(store, here) == list(SAID)


async def test_deletion_by_both_programs_is_undone_by_either(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await delete_branch(store, here, 2)
    deletion = there.delete_branch(there.path()[2].id)
    await other.save_deletion(there, deletion)
    await store.close()
    there.restore(deletion)
    await other.save_restoration(there, deletion)
    assert await said(other, there) == list(SAID)


# ── deleting one turn ────────────────────────────────────────────────────────────────────────────


async def test_turns_below_a_single_deleted_turn_stay_in_their_place(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    there.branch_from(there.path()[3].id, "a2 edited")
    await other.save_turn(there, there.path()[-1])
    deletion = here.delete_turn(here.path()[2].id)
    await store.save_deletion(here, deletion)
    stored = await store.load(here.id)
    assert {turn.text for turn in stored.children(here.path()[1].id)} == {"a2", "a2 edited"}
    here.restore(deletion)
    await store.save_restoration(here, deletion)
    there.select(there.path()[3].id)
    assert list((await store.load(here.id)).turns()) == list(there.turns())


async def test_continuing_below_a_single_deleted_turn_keeps_the_branch_whole(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await delete_turn(other, there, 2)
    await send(store, here)
    assert await said(store, here) == ["q1", "a1", "a2", "q3", "a3", "more"]


async def test_pinning_below_a_single_deleted_turn_keeps_the_branch_whole(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await delete_turn(other, there, 2)
    await store.save_turn_pin(here, dataclasses.replace(here.path()[3], pinned=True))
    await store.save_turn(here, dataclasses.replace(here.path()[3], error="again"))
    assert await said(store, here) == ["q1", "a1", "a2", "q3", "a3"]


async def test_deleting_the_last_turn_keeps_it_if_another_program_continued(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await send(other, there, "from there")
    await delete_turn(store, here, -1)
    assert await said(store, here) == [*SAID, "from there"]


# ── continuing, editing, pinning ─────────────────────────────────────────────────────────────────


async def test_continuing_in_both_programs_makes_two_branches_and_shows_the_last(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await send(store, here, "from here")
    await send(other, there, "from there")
    await send(store, here, "again from here")
    assert await said(store, here) == [*SAID, "from here", "again from here"]
    stored = await store.load(here.id)
    assert "from there" in [turn.text for turn in stored.turns()]


async def test_edit_in_one_program_does_not_hide_turns_of_the_other(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await other.save_turn(there, there.branch_from(there.path()[2].id, "q2 edited"))
    await send(store, here)
    assert await said(store, here) == [*SAID, "more"]


async def test_saving_a_turn_keeps_the_pin_of_another_program(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    reply = here.add_turn("assistant", "half")
    await store.save_turn(here, reply)
    there = await other.load(here.id)
    await other.save_turn_pin(there, dataclasses.replace(there[reply.id], pinned=True))
    await store.save_turn(here, here.append(reply.id, " and whole"))
    assert (await store.load(here.id))[reply.id].pinned


async def test_choosing_a_branch_keeps_a_reply_that_grew_in_another_program(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    reply = there.add_turn("assistant", "half")
    await other.save_turn(there, reply)
    here = await store.load(here.id)
    there.append(reply.id, " and whole")
    await other.save_turn(there, there.finish(reply.id, "stop"))
    await store.save_choice(here)
    stored = (await store.load(here.id))[reply.id]
    assert (stored.text, stored.finish_reason) == ("half and whole", "stop")


# ── the conversation ─────────────────────────────────────────────────────────────────────────────


async def test_persona_of_one_program_keeps_title_tags_and_branch_of_another(
    store: Store, other: Store, here: Conversation, there: Conversation
) -> None:
    await other.rename(there.id, "Renamed there")
    await other.set_tags(there.id, ("x",))
    await other.set_pinned(there.id, True)
    await other.set_archived(there.id, True)
    here.system_prompt = "Be brief."
    await store.save_persona(here)
    stored = await store.load(here.id)
    assert (stored.title, stored.tags, stored.pinned, stored.archived) == (
        *("Renamed there", ("x",)),
        *(True, True),
    )
    assert stored.system_prompt == "Be brief."
    await send(store, here)
    assert (await store.load(here.id)).title == "Renamed there"


async def test_any_change_restores_a_conversation_that_another_program_deleted(
    store: Store, other: Store, here: Conversation
) -> None:
    turn = here.path()[0]
    changes = (
        lambda: store.rename(here.id, "again"),
        lambda: store.set_pinned(here.id, True),
        lambda: store.set_archived(here.id, False),
        lambda: store.set_tags(here.id, ("y",)),
        lambda: store.save_persona(here),
        lambda: store.save_turn_pin(here, turn),
        lambda: store.save_turn(here, turn),
    )
    for change in changes:
        await other.delete_conversation(here.id)
        await change()
        assert await said(store, here) == list(SAID)


async def test_renaming_a_conversation_that_is_gone_for_good_says_so(
    store: Store, other: Store, here: Conversation, path: Path
) -> None:
    await other.delete_conversation(here.id)
    purge(path)
    with pytest.raises(StoreError, match="No such conversation"):
        await store.rename(here.id, "again")
    await store.rename(here.id, "by the model", automatic=True)


async def test_deleting_in_both_programs_can_be_undone_while_one_is_open(
    store: Store, other: Store, here: Conversation
) -> None:
    await store.delete_conversation(here.id)
    await other.delete_conversation(here.id)
    await other.close()
    await store.restore_conversation(here.id)
    assert await said(store, here) == list(SAID)


async def test_fork_of_a_deleted_conversation_is_whole(
    store: Store, other: Store, here: Conversation, path: Path
) -> None:
    await other.delete_conversation(here.id)
    purge(path)
    forked = await store.add(fork(here, here.path()[-1].id))
    assert await said(store, forked) == list(SAID)


async def test_deletion_is_final_once_the_last_program_has_closed(
    store: Store, other: Store, here: Conversation, there: Conversation, path: Path
) -> None:
    await delete_branch(store, here, 2)
    await store.close()
    await other.close()
    again = await Store.open(path)
    assert await said(again, here) == ["q1", "a1"]
    assert not await again.find("0")
    await again.close()
