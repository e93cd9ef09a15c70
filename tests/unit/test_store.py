"""The store, on real SQLite files: what is saved is there again, found, and safe from other programs."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spnl_tui.conversations import search
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.database import Database, connect
from spnl_tui.conversations.recorder import ReplyRecorder
from spnl_tui.conversations.rows import ListFilter
from spnl_tui.conversations.schema import MIGRATIONS
from spnl_tui.conversations.search import Query, SearchFilter, SearchHit, snippet
from spnl_tui.conversations.store import INTERRUPTED, Store
from spnl_tui.conversations.turn import Provenance
from spnl_tui.errors import StoreError
from spnl_tui.models.request import Grammar, Sampling
from tests.support.waiting import wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "conversations.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    store = await Store.open(path)
    assert store.problem is None
    yield store
    await store.close()


def talk(*said: str, model: str = "smollm2:135m", title: str = "") -> Conversation:
    conversation = Conversation(model=model, title=title)
    for index, text in enumerate(said):
        turn = conversation.add_turn("assistant" if index % 2 else "user", text)
        if turn.role == "assistant":
            conversation.finish(turn.id, "stop", provenance=Provenance(model=model))
    return conversation


def stored_texts(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT text FROM turn").fetchall()
    connection.close()
    return [text for (text,) in rows]


def full() -> Conversation:
    """A conversation with every field in use."""
    conversation = talk("q1 \x00 \x1b[31m [bold]", "a1", "q2", "a2")
    conversation.title, conversation.title_is_automatic = "Über Zebras", False
    conversation.system_prompt = "Be brief."
    conversation.sampling = Sampling(temperature=0, top_k=3, stop=("\n", "x"), seed=7)
    conversation.tags, conversation.pinned, conversation.archived = ("b", "a"), True, True
    reply = conversation.path()[1]
    conversation.update_turn(
        dataclasses.replace(
            reply,
            reasoning="hm",
            pinned=True,
            error="e",
            provenance=Provenance(
                model="m",
                revision="r",
                file_sha256="f",
                engine_version="0.9.5",
                load_plan='{"device": "cpu"}',
                sampling=Sampling(temperature=0.5),
                thinking=False,
                grammar=Grammar("regex", "a+"),
                system_prompt="s",
                left_out=(conversation.path()[0].id,),
                summary="u",
                prompt_sha256="p",
                prompt_tokens=1,
                completion_tokens=2,
                ttft_s=0.1,
                itl_s=0.2,
                decode_tokens_per_s=3.0,
                started_at=4.0,
            ),
        )
    )
    again = conversation.regenerate(reply.id)
    conversation.finish(again.id, "failed", error="no memory")
    conversation.branch_from(conversation.path()[0].id, "other root")
    conversation.select(reply.id)
    return conversation


# ── saving and loading ───────────────────────────────────────────────────────────────────────────


async def test_what_is_added_is_loaded_the_same(store: Store) -> None:
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


async def test_saving_a_turn_leaves_what_others_changed(store: Store) -> None:
    conversation = talk("q")
    await store.add(conversation)
    await store.rename(conversation.id, "Renamed")
    await store.set_tags(conversation.id, ["new"])
    await store.save_turn(conversation, conversation.add_turn("assistant", "a"))
    loaded = await store.load(conversation.id)
    assert (loaded.title, loaded.tags, len(loaded)) == ("Renamed", ("new",), 2)


async def test_a_conversation_that_goes_on_with_another_model_is_of_that_one(store: Store) -> None:
    first = talk("Hello", model="first")
    await store.add(first)
    await store.add(talk("Good day", model="between"))
    first.model = "second"
    await store.save_turn(first, first.add_turn("user", "And you?"))
    assert (await store.load(first.id)).model == "second"
    first.model = ""  # none is known yet
    await store.save_turn(first, first.add_turn("user", "Well?"))
    assert (await store.load(first.id)).model == "second"


async def test_the_models_used_last_are_those_that_replied(store: Store) -> None:
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


async def test_the_active_branch_is_kept_with_the_turn(store: Store) -> None:
    conversation = talk("q", "a1", "q2")
    await store.add(conversation)
    first = conversation.path()[1]
    again = conversation.regenerate(first.id)
    await store.save_turn(conversation, again)
    conversation.select(first.id)
    await store.save_details(conversation)
    assert [t.text for t in (await store.load(conversation.id)).path()] == ["q", "a1", "q2"]


async def test_a_conversation_that_is_there_already_is_added_as_a_copy(store: Store) -> None:
    conversation = full()
    await store.add(conversation)
    copy = await store.add(conversation)
    assert copy.id != conversation.id
    assert await store.load(copy.id) == copy
    assert [t.text for t in copy.turns()] == [t.text for t in conversation.turns()]
    assert [t.text for t in copy.path()] == [t.text for t in conversation.path()]
    assert await store.load(conversation.id) == conversation


async def test_a_turn_cannot_be_moved_to_another_conversation(store: Store) -> None:
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


async def test_a_conversation_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match="'nothing'"):
        await store.load("nothing")


async def test_an_automatic_title_never_replaces_the_users(store: Store) -> None:
    conversation = talk("q")
    await store.add(conversation)
    await store.rename(conversation.id, "Automatic", automatic=True)
    assert (await store.load(conversation.id)).title == "Automatic"
    await store.rename(conversation.id, "Mine")
    await store.rename(conversation.id, "Automatic", automatic=True)
    assert (await store.load(conversation.id)).title == "Mine"


async def test_a_cancelled_save_is_carried_out(store: Store) -> None:
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


async def test_the_recorder_saves_while_the_reply_streams_and_at_its_end(store: Store, path: Path) -> None:
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


async def test_the_recorder_tells_that_a_save_failed(store: Store) -> None:
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


# ── deleting ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_deleted_conversation_is_gone_until_it_is_restored(store: Store) -> None:
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


async def test_what_is_deleted_when_the_store_is_closed_is_gone_for_good(path: Path) -> None:
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


async def test_a_reply_that_streams_on_does_not_restore_what_the_user_deleted(store: Store) -> None:
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
async def test_what_is_said_in_a_conversation_that_another_program_deleted_is_not_lost(
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


# ── the list ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_list_has_pages_pinned_first_then_by_time(store: Store) -> None:
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


# ── searching ────────────────────────────────────────────────────────────────────────────────────


def shown(hit: SearchHit) -> str:
    return "".join(f"<{span.text}>" if span.hit else span.text for span in hit.snippet)


async def test_a_search_shows_the_words_in_context(store: Store) -> None:
    conversation = talk("What is a zebra?", "[bold]Zebras[/] are striped; a ZEBRA kicks.", title="Stripes")
    await store.add(conversation)
    hits = (await store.search("zebra")).hits
    assert {shown(hit) for hit in hits} == {
        "What is a <zebra>?",
        "[bold]<Zebras>[/] are striped; a <ZEBRA> kicks.",
    }
    assert {(hit.conversation, hit.turn, hit.role) for hit in hits} == {
        (conversation.id, turn.id, turn.role) for turn in conversation.turns()
    }
    (title,) = (await store.search("strip", limit=1)).hits
    assert (title.turn, shown(title)) == (None, "<Stripes>")
    assert (await store.search("strip", limit=1)).more


async def test_the_turn_that_speaks_most_of_it_comes_first(store: Store) -> None:
    conversation = talk(
        "zebra, and many other things besides " * 3, "zebra zebra", "the zebra of many things"
    )
    await store.add(conversation)
    assert shown((await store.search("zebra")).hits[0]) == "<zebra> <zebra>"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("apple pie", {"apple pie", "pie of apple"}),
        ('"apple pie"', {"apple pie"}),
        ("apple -pie", {"apple tart"}),
        ("app", {"apple pie", "pie of apple", "apple tart"}),
        ("app tart", set()),
        ('"app"', set()),
        ("creme brulee", {"Crème brûlée"}),
        ("CRÈME", {"Crème brûlée"}),
        ("apple AND", set()),
        ("a* OR (x", set()),
        ("text:apple", set()),
        ('"', set()),
        ("-pie", set()),
        ("snake_case", {"a snake_case name"}),
    ],
)
async def test_what_is_typed_has_no_other_meaning(store: Store, typed: str, found: set[str]) -> None:
    await store.add(talk("apple pie", "pie of apple", "apple tart", "Crème brûlée", "a snake_case name"))
    hits = (await store.search(typed)).hits
    assert {"".join(span.text for span in hit.snippet) for hit in hits} == found


async def test_any_text_can_be_typed(store: Store) -> None:
    for typed in (
        "\x00",
        "\ud800",
        "a" * 100_000,
        "* " * 500,
        "NEAR(a b)",
        "^a",
        "{text}: a",
        "'",
        "日本",
        "-",
    ):
        await store.search(typed)


async def test_a_search_is_filtered(store: Store) -> None:
    one, two = talk("zebra", "zebra"), talk("zebra", "zebra", model="qwen3:1.7b")
    two.archived = True
    shifted = [dataclasses.replace(turn, created_at=1000.0 + n) for n, turn in enumerate(one.turns())]
    one = Conversation.of(one, shifted)
    await store.add(one)
    await store.add(two)

    async def turns(**where: object) -> list[str | None]:
        return [hit.turn for hit in (await store.search("zebra", SearchFilter(**where))).hits]  # type: ignore[arg-type]

    assert len(await turns()) == 4
    assert await turns(until=1001) == [shifted[0].id]
    assert set(await turns(since=1001)) == {shifted[1].id, *(turn.id for turn in two.turns())}
    assert set(await turns(model="qwen3:1.7b")) == {turn.id for turn in two.turns()}
    assert await turns(model="1.7b") == []
    assert set(await turns(archived=False)) == {turn.id for turn in one.turns()}


@pytest.mark.parametrize("few", [50_000, 0])
async def test_a_tag_filters_a_search_whether_few_or_many_have_it(
    store: Store, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_FEW_TAGGED", few)
    tagged = [talk("a zebra", "striped", title="zebra") for _ in range(3)]
    for conversation in tagged:
        conversation.tags = ("x", "y") if conversation is tagged[0] else ("x",)
    for conversation in [*tagged, talk("another zebra", "yes")]:
        await store.add(conversation)
    await store.save_deletion(tagged[2], tagged[2].delete_branch(tagged[2].path()[0].id))

    async def found(tag: str | None) -> set[tuple[str, bool]]:
        hits = (await store.search("zebra", SearchFilter(tag=tag))).hits
        return {(hit.conversation, hit.turn is None) for hit in hits}

    assert len(await found(None)) == 6
    titles = {(conversation.id, True) for conversation in tagged}
    assert await found("x") == titles | {(tagged[0].id, False), (tagged[1].id, False)}
    assert await found("y") == {(tagged[0].id, True), (tagged[0].id, False)}
    assert await found("z") == set()


async def test_a_reply_is_found_as_it_ended_and_an_edited_turn_as_it_is(store: Store) -> None:
    conversation = talk("q")
    reply = conversation.add_turn("assistant", "first words")
    await store.save_turn(conversation, reply)
    assert (await store.search("first")).hits == ()
    conversation.append(reply.id, " last words")
    await store.save_turn(conversation, conversation.finish(reply.id, "stop"))
    assert len((await store.search("first last")).hits) == 1
    await store.save_turn(
        conversation, dataclasses.replace(conversation[reply.id], text="continued", finish_reason=None)
    )
    assert (await store.search("first")).hits == ()
    await store.save_turn(conversation, dataclasses.replace(conversation[reply.id], text="other"))
    assert (await store.search("first")).hits == ()
    assert len((await store.search("other")).hits) == 1


def test_a_query_is_made_of_quoted_words_only() -> None:
    query = Query.parse('say "hello there" -now wor')
    assert query is not None
    assert query.match == '("say" AND "hello there" AND "wor" *) NOT "now"'


def test_a_snippet_is_cut_from_where_the_words_are() -> None:
    query = Query.parse("crème zebra")
    assert query is not None
    text = "zebra " + "filler\n" * 100 + "a Creme for\ta ZEBRA here " + "filler " * 100
    spans = snippet(text, query.pattern)
    shown = "".join(f"<{span.text}>" if span.hit else span.text for span in spans)
    assert "a <Creme> for a <ZEBRA> here filler" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) < 200


# ── the file ─────────────────────────────────────────────────────────────────────────────────────


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


async def test_a_file_that_is_no_store_is_set_aside_unharmed(path: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("damage", ["truncated", "schema", "dropped table"])
async def test_a_damaged_store_is_set_aside(path: Path, damage: str) -> None:
    await filled(path)
    before = damage_file(path, damage)
    store = await Store.open(path)
    assert store.problem is not None
    (aside,) = path.parent.glob("*.aside-*")
    assert aside.read_bytes() == before
    await store.add(talk("q"))
    await store.close()


async def test_a_newer_store_is_set_aside_and_can_be_put_back(path: Path) -> None:
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


async def test_a_newer_store_in_use_is_left_alone(path: Path, store: Store) -> None:
    execute(path, "PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="another version"):
        await Store.open(path)
    assert not list(path.parent.glob("*.aside-*"))


async def test_damage_found_later_is_a_store_error(path: Path) -> None:
    conversation = await filled(path, 600)
    overwrite(path, 30, 60)
    store = await Store.open(path)
    if store.problem is None:
        with pytest.raises(StoreError, match="could not be read"):
            await store.load(conversation.id)
    await store.close()


async def test_an_impossible_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        await Store.open(tmp_path / "file" / "conversations.db")


def test_an_older_store_is_migrated_after_a_backup(path: Path) -> None:
    first = (*MIGRATIONS, ("CREATE TABLE novelty (a)",))
    database, problem = Database.open(path, lambda _: None)
    asyncio.run(database.close())
    connection = connect(path)
    connection.execute("INSERT INTO conversation VALUES (1, 'id', 1, 1, 0, 0, 0, 1, 't', '', '{}', '[]', '')")
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


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
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
from spnl_tui.conversations.store import Store

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


async def test_a_reply_of_another_program_is_not_taken_for_interrupted(path: Path) -> None:
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
