"""What `spnl-chat history` prints."""

from __future__ import annotations

import json
from pathlib import Path

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import conversation_to_plain
from spnl_tui.conversations.listing import (
    hit_to_plain,
    list_lines,
    search_lines,
    show_lines,
    summary_to_plain,
)
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Provenance


async def test_lines_and_json_of_a_store(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.db")
    conversation = Conversation(title="Sky\x1b[31m\nblue", model="smollm2:135m", tags=("x",), pinned=True)
    conversation.add_turn("user", "Why is it\nblue?")
    reply = conversation.add_turn("assistant", "Half a \x07sentence")
    conversation.finish(reply.id, "failed", provenance=Provenance(model="smollm2:135m"), error="no\nmemory")
    conversation.finish(conversation.regenerate(reply.id).id, "stop")
    conversation.select(reply.id)
    await store.add(conversation)

    items = (await store.list()).items
    (line,) = list_lines(items)
    assert line.startswith(conversation.id[:12])
    assert line.endswith("3  Sky[31m blue  (smollm2:135m, pinned, #x)")
    assert json.loads(json.dumps(summary_to_plain(items[0])))["tags"] == ["x"]

    result = await store.search("blue it")
    head, snippet = search_lines(result, ("<", ">"))
    assert head.endswith("Sky[31m blue")
    assert snippet == "    You: Why is <it> <blue>?"
    assert json.loads(json.dumps(hit_to_plain(result.hits[0])))["snippet"][1] == {"text": "it", "hit": True}

    lines = list(show_lines(conversation))
    assert lines[0] == "Sky[31m blue"
    assert lines[2:] == [
        "",
        "You:",
        "Why is it",
        "blue?",
        "",
        "smollm2:135m (1 of 2):",
        "Half a sentence",
        "[failed: no memory]",
    ]
    conversation.finish(conversation.regenerate(reply.id).id, "cancelled")
    assert list(show_lines(conversation))[-1] == "[stopped]"
    assert conversation_to_plain(conversation)["turns"][-1]["finish_reason"] == "cancelled"
    await store.close()
