"""Content made of parts: what a model reads of it, and its way through the store and the exports."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spnl_tui.conversations.context import prompt_sha256
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text, to_markdown
from spnl_tui.conversations.exchange.imports import read_text
from spnl_tui.conversations.listing import show_lines
from spnl_tui.conversations.meter import TokenMeter
from spnl_tui.conversations.replay import replay_request
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Provenance
from spnl_tui.engine.mistralrs.cache.prefill import prefill_steps
from spnl_tui.models.parts import (
    Content,
    FilePart,
    ImagePart,
    TextPart,
    ToolCallPart,
    append_text,
    content_from_plain,
    content_to_plain,
    cut_text,
    with_text,
)
from spnl_tui.models.prompts.common_prefix import characters
from spnl_tui.models.request import Message, Sampling
from tests.support.parts import CONTENTS, ONE_OF_EACH


def with_parts(*contents: Content) -> Conversation:
    """A conversation with these contents, prompts and replies by turns."""
    conversation = Conversation(title="Parts")
    for number, content in enumerate(contents):
        turn = conversation.add_turn("assistant" if number % 2 else "user", content)
        if turn.role == "assistant":
            conversation.finish(turn.id, "stop", provenance=Provenance(model="m"))
    return conversation


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(CONTENTS, min_size=1, max_size=4))
async def test_any_parts_survive_store_export_import_export(contents: list[Content]) -> None:
    conversation = with_parts(*contents)
    with tempfile.TemporaryDirectory() as folder:
        one, two = await Store.open(Path(folder) / "1.db"), await Store.open(Path(folder) / "2.db")
        await one.add(conversation)
        stored = await one.load(conversation.id)
        assert stored == conversation
        first = to_json_text([stored])
        for imported in read_text(first):
            await two.add(imported)
        assert to_json_text([await two.load(conversation.id)]) == first
        await one.close()
        await two.close()


@pytest.mark.slow
@given(CONTENTS)
def test_any_parts_survive_json(content: Content) -> None:
    assert content_from_plain(json.loads(json.dumps(content_to_plain(content)))) == content


def test_export_of_texts_alone_stays_in_the_format_of_0_1_0() -> None:
    assert json.loads(to_json_text([with_parts((TextPart("q"),))]))["version"] == 1
    assert json.loads(to_json_text([with_parts((TextPart("q"), TextPart("p")))]))["version"] == 2


@pytest.mark.parametrize(
    "content",
    [
        7,
        [7],
        [{}],
        [{"type": ["text"]}],
        [{"type": "video"}],
        [{"type": "text"}],
        [{"type": "text", "text": 7}],
        [{"type": "image", "sha256": "a", "media_type": "b", "size": -1}],
        [{"type": "image", "sha256": "a", "media_type": "b", "size": True}],
        [{"type": "tool_result", "call_id": "a", "content": [{"type": "tool_call"}]}],
        [{"type": "tool_result", "call_id": "a", "content": 7}],
        [{"type": "tool_result", "call_id": "a", "content": [], "error": "yes"}],
    ],
    ids=str,
)
def test_wrong_part_is_named(content: Any) -> None:
    with pytest.raises(ValueError, match=r"content|part|type|tool result"):
        content_from_plain(content)


async def test_words_of_every_part_are_found_and_shown(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    conversation = with_parts(ONE_OF_EACH)
    await store.add(conversation)
    for word in ("Look", "Köln", "weather", "rains", "Rain", "notes"):
        (hit,) = (await store.search(word)).hits
        assert any(span.hit for span in hit.snippet)
    shown = "\n".join(show_lines(conversation))
    for text in (shown, to_markdown(conversation)):
        for words in ("Look at this.", "image/png", "line three", '{"city": "Köln"}', "Rain.", "It rains."):
            assert words in text
    await store.close()


async def test_stored_text_is_readable_by_other_programs(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    await store.add(with_parts(ONE_OF_EACH, (TextPart("plain"),)))
    await store.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    rows = connection.execute("SELECT text, parts IS NULL FROM turn ORDER BY key").fetchall()
    assert rows == [("Look at this.\n\nIt rains.", 0), ("plain", 1)]
    connection.close()


# ── what a model reads ───────────────────────────────────────────────────────────────────────────


def test_messages_of_one_role_keep_their_parts() -> None:
    image = ImagePart("ab", "image/png", 1)
    conversation = with_parts((TextPart("a"), image), (), (TextPart("b"),))
    (message,) = conversation.messages()
    assert message == Message("user", (TextPart("a"), image, TextPart("b")))
    assert Message("user", "x") == Message("user", (TextPart("x"),))


def test_hash_of_texts_alone_is_that_of_0_1_0() -> None:
    known = "d7760b4ba3077c46bf90214f644da927fcbe0a9fbbd35925d6abecf7260d54ab"
    assert prompt_sha256([Message("user", "Hi")]) == known
    assert prompt_sha256([Message("user", ONE_OF_EACH)]) != known


async def test_meter_prefill_and_growth_count_the_tokens_the_model_reads() -> None:
    file = FilePart("a.txt", "word " * 1000)
    messages = (Message("user", (file, TextPart("Why?"))),)
    counted: list[str] = []

    async def count(texts: Any) -> tuple[int, ...]:
        counted.extend(texts)
        return tuple(len(text.split()) for text in texts)

    meter = TokenMeter(count)
    tokens = await meter.count_messages(messages)
    assert tokens is not None
    assert tokens > 1000
    assert counted == [messages[0].model_text]
    assert characters(messages) == len(messages[0].model_text) > 5000
    prefixes = [prefix for _, prefix in prefill_steps(messages, [2000], 0)]
    assert prefixes
    for prefix in prefixes:
        assert messages[0].model_text.startswith(prefix[0].model_text)


def test_replay_of_a_reply_with_parts_sends_them_again() -> None:
    conversation = with_parts(ONE_OF_EACH, (TextPart("yes"),))
    reply = conversation.path()[1]
    provenance = Provenance(
        model="m", sampling=Sampling(), prompt_sha256=prompt_sha256(conversation.messages()[:1])
    )
    conversation.finish(reply.id, "stop", provenance=provenance)
    request = replay_request(conversation, reply.id)
    assert request.messages == (Message("user", ONE_OF_EACH),)
    assert not any("changed" in doubt for doubt in request.doubts)


# ── changing text ────────────────────────────────────────────────────────────────────────────────

IMAGE = ImagePart("ab", "image/png", 1)
CALL = ToolCallPart("1", "f", "{}")


def test_editing_the_text_keeps_the_other_parts() -> None:
    assert with_text((TextPart("a"), IMAGE, TextPart("b")), "c") == (IMAGE, TextPart("c"))
    assert with_text((TextPart("a"), IMAGE), "c") == (TextPart("c"), IMAGE)
    assert with_text((IMAGE,), "c") == (IMAGE, TextPart("c"))
    conversation = with_parts((TextPart("a"), IMAGE))
    assert conversation.branch_from(conversation.path()[0].id, "b").content == (TextPart("b"), IMAGE)


def test_streamed_text_continues_the_last_text() -> None:
    assert append_text((TextPart("a"),), "b") == (TextPart("ab"),)
    assert append_text((TextPart("a"), CALL), "b") == (TextPart("a"), CALL, TextPart("b"))
    assert append_text((CALL,), "") == (CALL,)


def test_cut_text_keeps_the_parts_up_to_there() -> None:
    content = (TextPart("abc"), CALL, TextPart("def"))
    assert cut_text(content, 2) == (TextPart("ab"),)
    assert cut_text(content, 3) == cut_text(content, 5) == (TextPart("abc"), CALL)
    assert cut_text(content, 7) == (TextPart("abc"), CALL, TextPart("de"))
