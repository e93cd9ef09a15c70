"""Export and import: nothing is lost, and nothing hostile gets through."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text, to_markdown, whole_to_markdown
from spnl_tui.conversations.exchange.imports import read_file, read_text
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import FinishReason, Provenance, Turn
from spnl_tui.errors import StoreError
from spnl_tui.models.request import Grammar, Sampling

TEXTS = st.text(max_size=30)


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    conversation = Conversation(
        title=draw(TEXTS),
        title_is_automatic=draw(st.booleans()),
        system_prompt=draw(TEXTS),
        sampling=Sampling(
            temperature=draw(st.sampled_from([0, 0.6, 1.0])), seed=draw(st.none() | st.just(3))
        ),
        model=draw(TEXTS),
        tags=tuple(draw(st.lists(TEXTS, max_size=3, unique=True))),
        pinned=draw(st.booleans()),
        archived=draw(st.booleans()),
    )
    for _ in range(draw(st.integers(0, 8))):
        parent = draw(st.sampled_from([None, *(turn.id for turn in conversation.turns())]))
        turn = conversation.add_turn(draw(st.sampled_from(["user", "assistant"])), draw(TEXTS), parent=parent)
        if turn.role == "assistant" and draw(st.booleans()):
            provenance = Provenance(
                model=draw(TEXTS),
                sampling=draw(st.none() | st.just(Sampling(stop=("\n",), top_k=4))),
                grammar=draw(st.none() | st.just(Grammar("lark", "start: x"))),
                left_out=tuple(draw(st.lists(TEXTS, max_size=2))),
                thinking=draw(st.none() | st.booleans()),
                prompt_tokens=draw(st.none() | st.integers(0, 10**6)),
                ttft_s=draw(st.none() | st.floats(0, 100)),
            )
            reason = draw(st.sampled_from(get_args(FinishReason)))
            conversation.finish(turn.id, reason, provenance=provenance, error=draw(TEXTS))
    if len(conversation):
        conversation.select(draw(st.sampled_from([turn.id for turn in conversation.turns()])))
    return conversation


@pytest.mark.slow
@given(st.lists(conversations(), max_size=3))
def test_exported_conversations_import_unchanged(said: list[Conversation]) -> None:
    text = to_json_text(said)
    again = read_text(text)
    assert list(again) == said
    assert to_json_text(again) == text


async def test_export_import_export_through_two_stores_is_identical(tmp_path: Path) -> None:
    one, two = await Store.open(tmp_path / "1.db"), await Store.open(tmp_path / "2.db")
    conversation = Conversation(title="[bold]\x1b[31m", tags=("b", "a"))
    prompt = conversation.add_turn("user", "hello\ud800 \u2028 \x00")
    for text in ("one", "two"):
        conversation.finish(conversation.add_turn("assistant", text, parent=prompt.id).id, "stop")
    conversation.select(conversation.siblings(conversation.path()[1].id)[0].id)
    await one.add(conversation)
    first = to_json_text([await one.load(conversation.id)])
    for imported in read_text(first):
        await two.add(imported)
    assert to_json_text([await two.load(conversation.id)]) == first
    assert [turn.text for turn in (await two.load(conversation.id)).path()][1] == "one"
    await one.close()
    await two.close()


def test_markdown_shows_a_branch_or_all_of_them() -> None:
    conversation = Conversation(title='A "title": yes', model="smollm2:135m", tags=("x",), created_at=0)
    prompt = conversation.add_turn("user", "Why?\x1b[31m")
    reply = conversation.add_turn("assistant", "Because.\n\n```py\nx\n```\n")
    conversation.finish(reply.id, "cancelled", provenance=Provenance(model="smollm2:135m"))
    conversation.finish(conversation.regenerate(reply.id).id, "failed", error="no\nmemory")
    text = to_markdown(conversation)
    assert text.startswith('---\ntitle: "A \\"title\\": yes"\nid: ')
    assert 'created: "1970-01-01T00:00:00+00:00"\n' in text
    assert 'tags: ["x"]\n---\n\n## User\n\nWhy?[31m\n\n## Assistant, 2 of 2\n\n> *no memory*\n' in text
    assert "Because" not in text
    whole = whole_to_markdown(conversation)
    assert "## Assistant (smollm2:135m), 1 of 2\n\nBecause.\n\n```py\nx\n```\n\n> *Stopped.*" in whole
    assert "## User" not in to_markdown(conversation, [conversation[reply.id]])
    assert prompt.text not in whole


# ── ChatGPT and oterm ────────────────────────────────────────────────────────────────────────────


def node(id: str, parent: str | None, role: str = "", text: Any = "", **message: Any) -> dict[str, Any]:
    if not role:
        return {"id": id, "parent": parent, "message": None, "children": []}
    content = {"content_type": "text", "parts": [text]}
    return {
        "id": id,
        "parent": parent,
        "children": [],
        "message": {"id": id, "author": {"role": role}, "content": content, "metadata": {}, **message},
    }


CHATGPT = {
    "title": "Sky",
    "create_time": 1700000000.5,
    "update_time": 1700000100,
    "default_model_slug": "gpt-4o",
    "current_node": "end",
    "is_archived": True,
    "mapping": {
        n["id"]: n
        for n in (
            node("root", None),
            node("system", "root", "system", "hidden"),
            node("q", "system", "user", "Why is it blue?", create_time=1700000001.0),
            node("call", "q", "assistant", "search()", recipient="browser"),
            node("tool", "call", "tool", "results"),
            node(
                "a1",
                "tool",
                "assistant",
                "Rayleigh.",
                create_time=1700000005,
                metadata={"model_slug": "gpt-4o"},
            ),
            node("a2", "q", "assistant", "It is not.", create_time=1700000009),
            node("end", "a1", "user", "Thanks", create_time=None),
        )
    },
}


def test_chatgpt_export_becomes_a_tree() -> None:
    image = node("image", "end", "user", {"content_type": "image_asset_pointer"})
    with_image = {**CHATGPT, "mapping": {**CHATGPT["mapping"], "image": image}}  # type: ignore[dict-item]
    conversation, second = read_text(json.dumps([CHATGPT, {"title": "empty", "mapping": {}}, with_image]))
    assert [turn.text for turn in conversation.path()] == ["Why is it blue?", "Rayleigh.", "Thanks"]
    reply = conversation.path()[1]
    assert [turn.text for turn in conversation.siblings(reply.id)] == ["Rayleigh.", "It is not."]
    assert (reply.provenance, reply.finish_reason) == (Provenance(model="gpt-4o"), "stop")
    assert (reply.created_at, conversation.created_at) == (1700000005, 1700000000.5)
    assert (conversation.title, conversation.model, conversation.archived) == ("Sky", "gpt-4o", True)
    assert "[attachment]" in [turn.text for turn in second.turns()]


def test_oterm_export_is_read() -> None:
    text = (
        "*user*\nWhat is\n\n---\n\na rule?\n\n---\n*assistant*\nA line.\n\n---\nmore\n\n---\n"
        "*system*\nBe brief.\n\n---\n"
    )
    (conversation,) = read_text(text, "my-chat.md")
    assert [(turn.role, turn.text) for turn in conversation.path()] == [
        ("user", "What is\n\n---\n\na rule?"),
        ("assistant", "A line.\n\n---\nmore"),
    ]
    assert (conversation.title, conversation.system_prompt) == ("my-chat", "Be brief.")


# ── hostile files ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "[" * 10_000_000,
        '{"a":' * 2_000_000,
        '{"format": "spnl-chat conversations", "version": 1, "conversations": [' + "[" * 1_000_000,
        '{"format": "spnl-chat conversations"}',
        '{"format": "spnl-chat conversations", "version": 99, "conversations": []}',
        '{"format": "spnl-chat conversations", "version": 1, "conversations": 7}',
        '{"format": "spnl-chat conversations", "version": 1, "conversations": [7]}',
        '[{"mapping": 7}]',
        '[{"mapping": {"a": 7, "b": {"message": {"author": {"role": ["user"]}}}}}]',
        "1" * 5000,
        '{"a": NaN}',
        "\x00\x1b[31m",
        "%PDF-1.4",
    ],
    ids=lambda text: text[:20],
)
def test_file_of_another_format_is_a_clear_error(text: str) -> None:
    with pytest.raises(StoreError) as error:
        read_text(text, "file.json")
    assert "file.json" in error.value.message
    assert len(str(error.value)) < 1000


GOOD: dict[str, Any] = {
    "id": "c",
    "turns": [{"id": "t", "parent": None, "role": "user", "text": "x", "created_at": 1.0}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"title": 7},
        {"title": None},
        {"pinned": "yes"},
        {"tags": "abc"},
        {"tags": [1]},
        {"sampling": {"temperature": 99}},
        {"sampling": {"max_tokens": 0.5}},
        {"sampling": {"seed": 2**70}},
        {"created_at": "now"},
        {"created_at": 10**400},
        {"updated_at": -1},
        {"updated_at": 1e300},
        {"chosen": {"a": "b"}},
        {"chosen": [["a"]]},
        {"chosen": [[["a"], "b"]]},
        {"id": "../../x"},
        {"id": "x" * 100},
        {"id": "\x1b[31m"},
        {"turns": None},
        {"turns": [{}]},
        {"turns": [{"id": "t", "parent": None, "role": "robot"}]},
        {"turns": [{"id": "t", "parent": 3, "role": "user"}]},
        {"turns": [{"id": "t", "parent": None, "role": "user", "provenance": {"left_out": [[]]}}]},
        {"turns": [{"id": "t", "parent": None, "role": "user", "created_at": True}]},
    ],
    ids=lambda change: str(change)[:40],
)
def test_wrong_type_or_value_is_named(change: dict[str, Any]) -> None:
    whole = {"format": "spnl-chat conversations", "version": 1, "conversations": [GOOD, {**GOOD, **change}]}
    with pytest.raises(StoreError, match="conversation 2"):
        read_text(json.dumps(whole))


async def test_harmless_text_stays_text_and_fields_of_newer_versions_are_ignored(tmp_path: Path) -> None:
    turn = {**GOOD["turns"][0], "text": "[red]\x1b]52;c;eA==\x07\ud800", "novelty": {"a": []}}
    ring = [
        {**turn, "id": "a", "parent": "b"},
        {**turn, "id": "b", "parent": "a"},
        {**turn, "id": "a", "parent": "a"},
    ]
    whole = {
        "format": "spnl-chat conversations",
        "version": 1,
        "conversations": [{**GOOD, "turns": [turn, *ring], "novelty": 1, "_turns": {}, "_children": 7}],
    }
    (conversation,) = read_text(json.dumps(whole))
    assert conversation["t"].text == "[red]\x1b]52;c;eA==\x07�"
    store = await Store.open(tmp_path / "store.db")
    await store.add(conversation)
    assert await store.load("c") == conversation
    await store.close()


@pytest.mark.slow
def test_rings_and_chains_in_a_mapping_end() -> None:
    chain = [node(str(n), str(n - 1) if n else "19999") for n in range(20_000)]
    chain.append(node("said", "19999", "user", "hello"))
    chain.append(node("self", "self", "user", "me"))
    (conversation,) = read_text(json.dumps({"mapping": {n["id"]: n for n in chain}, "current_node": "5"}))
    assert {turn.text for turn in conversation.turns()} == {"hello", "me"}


@given(st.integers(0, 10**6))
def test_any_damage_to_a_good_file_is_an_error_or_harmless(seed: int) -> None:
    chance = random.Random(seed)
    good = to_json_text(read_text(json.dumps([CHATGPT]))) if chance.random() < 0.5 else json.dumps([CHATGPT])
    text = list(good)
    for _ in range(chance.randrange(1, 6)):
        where = chance.randrange(len(text))
        text[where : where + chance.choice((0, 1, 40))] = chance.choice(
            (*string.printable, '"', "[", "null", "-1")
        )
    try:
        conversations = read_text("".join(text))
    except StoreError:
        return
    read_text(to_json_text(conversations))


def test_files_that_cannot_be_read_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="Cannot read the file"):
        read_file(tmp_path / "nothing.json")
    with pytest.raises(StoreError, match="Cannot read the file"):
        read_file(tmp_path)
    file = tmp_path / "file.json"
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(StoreError, match="cannot be imported"):
        read_file(file)
    monkeypatch.setattr("spnl_tui.conversations.exchange.imports.MAX_BYTES", 10)
    file.write_bytes(b"[" * 11)
    with pytest.raises(StoreError, match="the limit is"):
        read_file(file)


def test_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "conversations.json"
    file.write_text("\ufeff" + json.dumps([CHATGPT]), encoding="utf-8")
    assert read_file(file)[0].title == "Sky"


def test_turns_without_text_can_be_exported() -> None:
    conversation = Conversation.of(Conversation(), [Turn(id="a", parent=None, role="assistant")])
    assert read_text(to_json_text([conversation])) == (conversation,)
