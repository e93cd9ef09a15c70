"""What is saved is there again: conversations, turns, replies that stream, and the list of them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage.recorder import ReplyRecorder
from spnl_tui.conversations.storage.rows import ListFilter
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.errors import StoreError
from tests.support.conversations import full, talk
from tests.support.stored import stored_texts
from tests.support.waiting import wait_until

# ── saving and loading ───────────────────────────────────────────────────────────────────────────


async def test_added_conversation_loads_unchanged(store: Store) -> None:
    conversation = full()
    assert await store.add(conversation) is conversation
    assert await store.load(conversation.id) == conversation


async def test_turns_are_saved_one_by_one(store: Store, path: Path) -> None:
    conversation = Conversation(title="t", tags=("x",))
    await store.save_turn(conversation, conversation.add_turn("user", "q"))
    reply = conversation.add_turn("assistant")
    for text in ("a", "b", "c"):
        await store.save_turn(conversation, conversation.append(reply.id, text))
    assert await store.load(conversation.id) == conversation
    await store.save_turn(conversation, conversation.finish(reply.id, "stop"))
    await store.close()
    again = await Store.open(path)
    assert await again.load(conversation.id) == conversation
    await again.close()


async def test_saving_a_turn_keeps_changes_of_other_programs(store: Store) -> None:
    conversation = talk("q")
    await store.add(conversation)
    await store.rename(conversation.id, "Renamed")
    await store.set_tags(conversation.id, ["new"])
    await store.save_turn(conversation, conversation.add_turn("assistant", "a"))
    loaded = await store.load(conversation.id)
    assert (loaded.title, loaded.tags, len(loaded)) == ("Renamed", ("new",), 2)


async def test_continuing_with_another_model_changes_the_conversation(store: Store) -> None:
    first = talk("Hello", model="first")
    await store.add(first)
    await store.add(talk("Good day", model="between"))
    first.model = "second"
    await store.save_turn(first, first.add_turn("user", "And you?"))
    assert (await store.load(first.id)).model == "second"
    first.model = ""  # none is known yet
    await store.save_turn(first, first.add_turn("user", "Well?"))
    assert (await store.load(first.id)).model == "second"


async def test_models_used_last_are_those_that_replied(store: Store) -> None:
    await store.add(talk("Hello", "Yes.", model="older"))
    first = talk("Hello", "Yes.", model="newer")
    await store.add(first)
    assert await store.models_used_last() == ("newer", "older")
    # One that was tried, and could not be loaded: the next start should not try it again.
    first.model = "too large"
    prompt = first.add_turn("user", "And you?")
    await store.save_turn(first, prompt)
    failed = first.add_turn("assistant", "")
    first.finish(failed.id, "failed", provenance=Provenance(model="too large"))
    await store.save_turn(first, first[failed.id])
    await store.add(talk("Hello", model="no reply yet"))
    assert await store.models_used_last() == ("newer", "older")
    # Two that are compared: the one in use is that of the conversation.
    compared = talk("Hello", model="older")
    for model in ("older", "beside"):
        each = compared.add_turn("assistant", "Yes.", parent=compared.path()[0].id)
        compared.finish(each.id, "stop", provenance=Provenance(model=model))
    await store.add(compared)
    assert await store.models_used_last() == ("older", "newer")


async def test_active_branch_is_saved_with_the_turn(store: Store) -> None:
    conversation = talk("q", "a1", "q2")
    await store.add(conversation)
    first = conversation.path()[1]
    again = conversation.regenerate(first.id)
    await store.save_turn(conversation, again)
    conversation.select(first.id)
    await store.save_choice(conversation)
    assert [t.text for t in (await store.load(conversation.id)).path()] == ["q", "a1", "q2"]


async def test_adding_a_stored_conversation_makes_a_copy(store: Store) -> None:
    conversation = full()
    await store.add(conversation)
    copy = await store.add(conversation)
    assert copy.id != conversation.id
    assert await store.load(copy.id) == copy
    assert [t.text for t in copy.turns()] == [t.text for t in conversation.turns()]
    assert [t.text for t in copy.path()] == [t.text for t in conversation.path()]
    assert await store.load(conversation.id) == conversation


async def test_moving_a_turn_to_another_conversation_is_rejected(store: Store) -> None:
    victim, thief = talk("mine"), talk("yours")
    await store.add(victim)
    await store.add(thief)
    with pytest.raises(StoreError, match="another conversation"):
        await store.save_turn(thief, victim.path()[0])
    assert await store.load(victim.id) == victim


async def test_lone_surrogates_are_stored_as_replacement_characters(store: Store) -> None:
    conversation = talk("a\ud800b")
    await store.add(conversation)
    assert (await store.load(conversation.id)).path()[0].text == "a�b"


async def test_missing_conversation_is_named_in_the_error(store: Store) -> None:
    with pytest.raises(StoreError, match="'nothing'"):
        await store.load("nothing")


async def test_automatic_title_never_replaces_the_users(store: Store) -> None:
    conversation = talk("q")
    await store.add(conversation)
    await store.rename(conversation.id, "Automatic", automatic=True)
    assert (await store.load(conversation.id)).title == "Automatic"
    await store.rename(conversation.id, "Mine")
    await store.rename(conversation.id, "Automatic", automatic=True)
    assert (await store.load(conversation.id)).title == "Mine"


async def test_cancelled_save_is_carried_out(store: Store) -> None:
    conversation, busy = talk("q"), threading.Event()
    before = asyncio.create_task(store._database.write(lambda _: busy.wait(20)))
    saving = asyncio.create_task(store.add(conversation))
    await asyncio.sleep(0)
    saving.cancel()  # it waits for the one before it
    busy.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    await before
    await store.rename(conversation.id, "after it")
    assert (await store.load(conversation.id)).title == "after it"


async def test_recorder_saves_while_the_reply_streams_and_at_its_end(store: Store, path: Path) -> None:
    conversation = talk("q")
    await store.add(conversation)
    reply = conversation.add_turn("assistant")
    recorder = ReplyRecorder(store, conversation, reply.id, interval_s=0.01)
    conversation.append(reply.id, "half")
    recorder.changed()
    # Nothing more comes, and still it is saved.
    await wait_until(lambda: "half" in stored_texts(path))
    conversation.append(reply.id, " and whole")
    recorder.changed()
    conversation.finish(reply.id, "stop")
    await recorder.finish()
    assert (await store.load(conversation.id))[reply.id] == conversation[reply.id]


async def test_recorder_reports_a_failed_save(store: Store) -> None:
    owner, conversation = talk("q"), talk("q")
    await store.add(owner)
    conversation = Conversation.of(conversation, owner.turns())
    recorder = ReplyRecorder(store, conversation, owner.path()[0].id, interval_s=0)
    recorder.changed()
    await wait_until(lambda: recorder._saving is not None and recorder._saving.done())
    with pytest.raises(StoreError, match="another conversation"):
        recorder.changed()
    with pytest.raises(StoreError, match="another conversation"):
        await recorder.finish()


# ── the list ─────────────────────────────────────────────────────────────────────────────────────


async def test_list_pages_show_pinned_first_then_newest(store: Store) -> None:
    for number in range(7):
        conversation = talk("q", title=str(number))
        conversation.updated_at = conversation.created_at = 1000.0 + number // 2
        conversation.pinned = number == 1
        await store.add(conversation)
    titles: list[str] = []
    page = await store.list(limit=3)
    titles += [item.title for item in page.items]
    while page.next:
        page = await store.list(after=page.next, limit=3)
        titles += [item.title for item in page.items]
    assert titles == ["1", "6", "5", "4", "3", "2", "0"]


async def test_the_list_is_filtered(store: Store) -> None:
    a, b, c = talk("q", "a", title="a"), talk("q", model="other", title="b"), talk("q", title="c")
    a.tags, a.updated_at, b.updated_at, c.updated_at, c.archived = ("x", "y"), 10, 20, 30, True
    for conversation in (a, b, c):
        await store.add(conversation)

    async def titles(**where: object) -> list[str]:
        return [item.title for item in (await store.list(ListFilter(**where))).items]  # type: ignore[arg-type]

    assert await titles() == ["b", "a"]
    assert await titles(archived=True) == ["c"]
    assert await titles(tag="y") == ["a"]
    assert await titles(model="other") == ["b"]
    assert await titles(since=15) == ["b"]
    assert await titles(until=20) == ["a"]
    (item,) = (await store.list(ListFilter(tag="x"))).items
    assert (item.tags, item.turns, item.model) == (("x", "y"), 2, "smollm2:135m")
    assert await store.tags() == ("x", "y")
    assert await store.models() == ("other", "smollm2:135m")
    assert await store.find(a.id[:-1]) == (a.id,)
    assert await store.find() == (c.id, b.id, a.id)


async def test_thousands_of_turns_of_one_time_are_saved(store: Store) -> None:
    one_time = [Turn(id=f"t{n}", parent=None, role="user", created_at=1000.0) for n in range(2000)]
    conversation = Conversation.of(Conversation(), one_time)
    await store.add(conversation)
    assert len(await store.load(conversation.id)) == 2000
