"""ChatGPT's export: every part that holds words is kept, anything else is named in its place."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text
from spnl_tui.conversations.exchange.imports import read_export, read_text
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import StoreError
from spnl_tui.models.parts import TextPart, ToolCallPart, ToolResultPart
from tests.support.chatgpt import (
    CALL,
    CANVAS,
    CITED,
    REFERENCES,
    RESULT,
    VOICE,
    exported,
    message,
    mutated,
    rich,
)
from tests.support.chatgpt import thoughts as thoughts_content


def read(*messages: Any, **more: Any) -> Conversation:
    (conversation,) = read_text(json.dumps([exported(*messages, **more)]))
    return conversation


def turns(*messages: Any) -> list[Turn]:
    return list(read(*messages).path())


# ── kinds of content ─────────────────────────────────────────────────────────────────────────────


def test_spoken_words_are_the_text_of_the_turn() -> None:
    (turn,) = turns(message("user", VOICE))
    assert turn.text == "When is high tide?"


def test_thoughts_become_the_reasoning_of_the_reply() -> None:
    recap = {"content_type": "reasoning_recap", "content": "Thought for 3s"}
    _, reply = turns(
        message("user", "q"),
        message("assistant", thoughts_content("the moon", "the sun")),
        message("assistant", recap),
        message("assistant", "It rises."),
    )
    assert reply.text == "It rises."
    assert reply.reasoning == "About the moon\nthe moon\n\nAbout the sun\nthe sun\n\nThought for 3s"


def test_thought_without_a_reply_is_a_turn_of_its_own() -> None:
    _, thought = turns(message("user", "q"), message("assistant", thoughts_content("the moon")))
    assert (thought.text, thought.reasoning) == ("", "About the moon\nthe moon")


def test_tool_call_and_result_are_parts_of_the_reply() -> None:
    _, reply = turns(message("user", "q"), CALL, RESULT, message("assistant", "The moon does it."))
    assert reply.text == "The moon does it."
    assert reply.content == (
        ToolCallPart("n1", "web", "search('tides')"),
        ToolResultPart("n1", (TextPart("Tides\nhttps://sea.example/tides\nThe moon."),)),
        TextPart("The moon does it."),
    )


def test_tool_result_above_two_replies_is_kept_once() -> None:
    conversation = read(
        message("user", "q"), CALL, RESULT, message("assistant", "one"), ("n2", message("assistant", "two"))
    )
    texts = [turn.model_text for turn in conversation.turns()]
    assert sum("The moon." in text for text in texts) == 1
    assert texts[-2:] == ["one", "two"]


def test_canvas_is_part_of_the_text() -> None:
    _, reply = turns(message("user", "q"), CANVAS, message("assistant", "Here it is."))
    assert reply.text == "Canvas “Poem”:\n\n# Sea\n\nWaves.\n\nHere it is."
    update = {"updates": [{"pattern": ".*", "replacement": "New waves."}]}
    comment = {"comments": [{"pattern": "x", "comment": "Too short."}]}
    code = {"name": "a.py", "type": "code/python", "content": "print(1)"}
    for canvas, words in (
        (update, "New waves."),
        (comment, "- Too short."),
        (code, "```python\nprint(1)\n```"),
    ):
        call = message("assistant", json.dumps(canvas), recipient="canmore.update_textdoc")
        assert words in turns(message("user", "q"), call)[-1].text


def test_citations_become_links_and_words() -> None:
    metadata = {"content_references": REFERENCES}
    _, reply = turns(message("user", "q"), message("assistant", CITED, metadata=metadata))
    link = "[Tides 1](https://sea.example/a%28b%29)"
    assert reply.text == f"High tide follows the moon. ({link}) Ask a sailor."


@pytest.mark.parametrize(
    ("mark", "metadata", "shown"),
    [
        ("\ue200cite\ue202turn0search9\ue201", {}, "[cite turn0search9]"),
        ("\ue200url\ue202Sea\ue202https://sea.example/\ue201", {}, "[Sea](https://sea.example/)"),
        ('\ue200image_group\ue202{"query":["a boat","a pier"]}\ue201', {}, "[image_group a boat a pier]"),
        ("\ue200cite\ue202turn1news2\ue201", "searched", "([Sea](https://sea.example/b))"),
        ("\ue200filecite\ue202turn0file0\ue201", "alt", "([a.pdf](https://files.example/a))"),
        ("【4:0†source】", "old", "([Old](https://old.example/))"),
        ("【4:0†source】", {}, "【4:0†source】"),
        ("\ue201\ue202", {}, ""),
        ("\ue200cite", {}, "cite"),
    ],
)
def test_each_mark_is_replaced_or_explained(mark: str, metadata: Any, shown: str) -> None:
    if metadata == "searched":
        ref = {"turn_index": 1, "ref_type": "news", "ref_index": 2}
        metadata = {
            "search_result_groups": [
                {"entries": [{"title": "Sea", "url": "https://sea.example/b", "ref_id": ref}]}
            ]
        }
    elif metadata == "alt":
        metadata = {
            "content_references": [{"matched_text": mark, "alt": "([a.pdf](https://files.example/a))"}]
        }
    elif metadata == "old":
        page = {"title": "Old", "url": "https://old.example/"}
        metadata = {"citations": [{"start_ix": 2, "end_ix": 2 + len(mark), "metadata": page}]}
    _, reply = turns(message("user", "q"), message("assistant", f"A {mark}.", metadata=metadata))
    assert reply.text == f"A {shown}."
    assert not any("\ue000" <= char <= "\uf8ff" for char in reply.text)


def test_source_list_is_appended() -> None:
    sources = [{"title": "Sea", "url": "https://sea.example/"}]
    metadata = {"content_references": [{"matched_text": " ", "type": "sources_footnote", "sources": sources}]}
    _, reply = turns(message("user", "q"), message("assistant", "Waves.", metadata=metadata))
    assert reply.text == "Waves.\n\nSources:\n\n- [Sea](https://sea.example/)"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"content_type": "execution_output", "text": "42"}, "42"),
        ({"content_type": "tether_browsing_display", "result": "R", "summary": "S"}, "S\n\nR"),
        ({"content_type": "system_error", "name": "Timeout", "text": "Too slow."}, "Too slow."),
        ({"content_type": "citable_code_output", "output_str": "out"}, "out"),
        (
            {"content_type": "future_widget", "title": "A title", "data": {}, "content": [{"text": "words"}]},
            "A title",
        ),
        ({"content_type": "future_widget", "id": 7}, "[attachment: future widget]"),
    ],
)
def test_output_of_any_type_is_kept_or_named(content: dict[str, Any], shown: str) -> None:
    _, result = turns(message("user", "q"), message("tool", content))
    assert shown in result.model_text


def test_images_and_files_are_named() -> None:
    image = {"content_type": "image_asset_pointer", "width": 640, "height": 480}
    drawn = {**image, "metadata": {"dalle": {"prompt": "a boat"}}}
    video = {"content_type": "video_container_asset_pointer"}
    content = {"content_type": "multimodal_text", "parts": [image, drawn, video, "What?"]}
    files = [
        {"name": "notes.pdf", "mime_type": "application/pdf"},
        {"name": "p.png", "mime_type": "image/png"},
    ]
    (turn,) = turns(message("user", content, metadata={"attachments": files}))
    assert turn.text.split("\n\n") == [
        "[attachment: image, 640 × 480]",
        "[attachment: image, 640 × 480, drawn from: a boat]",
        "[attachment: video]",
        "What?",
        "[attachment: notes.pdf]",
    ]


def test_instructions_become_the_system_prompt() -> None:
    hidden = {"is_visually_hidden_from_conversation": True}
    context = {
        "content_type": "user_editable_context",
        "user_profile": "A sailor.",
        "user_instructions": "Be brief.",
    }
    conversation = read(
        message("system", ""),
        message("user", context, metadata=hidden),
        message("user", "Hello"),
        message("assistant", "Hi."),
    )
    assert conversation.system_prompt == "A sailor.\n\nBe brief."
    assert [turn.text for turn in conversation.path()] == ["Hello", "Hi."]


def test_hidden_words_are_kept_in_the_reasoning() -> None:
    hidden = {"is_visually_hidden_from_conversation": True}
    _, reply = turns(
        message("user", "q"), message("assistant", "secret", metadata=hidden), message("assistant", "open")
    )
    assert (reply.text, reply.reasoning) == ("open", "Hidden message:\nsecret")


def test_import_reports_skipped_conversations_and_parts(tmp_path: Path) -> None:
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([*rich(), exported(title="Nothing"), 7]))
    found = read_export(file)
    assert [conversation.title for conversation in found.conversations] == ["Tides", "Short"]
    assert [(each.title, each.reason) for each in found.skipped] == [
        ("Nothing", "no message contains text"),
        ("Item 4", "it is not a conversation"),
    ]
    assert found.left_out == {"audio": 1, "image": 1}


# ── the same account again ───────────────────────────────────────────────────────────────────────


def test_ids_are_the_same_in_every_export() -> None:
    once, again = read_text(json.dumps(rich())), read_text(json.dumps(rich()))
    assert to_json_text(once) == to_json_text(again)
    older = exported(message("user", "q"))
    del older["conversation_id"]
    (first,), (second,) = (read_text(json.dumps([older])) for _ in range(2))
    assert first.id == second.id


@pytest.mark.slow
async def test_mutated_exports_are_imported_or_refused(tmp_path: Path) -> None:
    await import_mutated(tmp_path, seed=17, count=1000)


async def import_mutated(folder: Path, seed: int, count: int) -> None:
    """Import so many mutated exports, each twice, and read everything back."""
    print(f"seed {seed}")
    store = await Store.open(folder / "store.db")
    chance = random.Random(seed)
    for number in range(count):
        text = mutated(chance)
        try:
            conversations = read_text(text)
        except StoreError:
            continue
        first = await store.import_all(conversations)
        again = await store.import_all(read_text(text))
        assert not again.added, number
        for each in (*first.added, *first.updated):
            to_json_text([await store.load(each.id)])
    await store.close()
