"""Exports for other programs and to read: messages, ShareGPT, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_markdown
from spnl_tui.conversations.exchange.html_export import to_html
from spnl_tui.conversations.exchange.message_export import to_openai, to_sharegpt
from spnl_tui.conversations.exchange.readers.messages import Gathered
from spnl_tui.conversations.exchange.sources import read_source
from spnl_tui.conversations.turn import Turn
from spnl_tui.models.parts import FilePart, TextPart, ToolCallPart, ToolResultPart

EXPORTS: dict[str, tuple[str, Callable[[Conversation], str]]] = {
    "openai": ("x.jsonl", lambda each: to_openai([(each, each.path())])),
    "sharegpt": ("x.json", lambda each: to_sharegpt([(each, each.path())])),
    "markdown": ("x.md", to_markdown),
}


def made() -> Conversation:
    """Return a conversation with thoughts, a tool call, its result and a file."""
    turns = [
        Turn(
            id="a",
            parent=None,
            role="user",
            content=(FilePart("a.txt", "Data"), TextPart("Why?")),
            created_at=10,
        ),
        Turn(
            id="b",
            parent="a",
            role="assistant",
            content=(
                TextPart("Let me see."),
                ToolCallPart("c", "search", '{"q": 1}'),
                ToolResultPart("c", (TextPart("Found."),)),
                TextPart("# Because\n\n```\n## User\n```"),
            ),
            reasoning="Hm.\n\nYes.",
            finish_reason="stop",
            created_at=20,
        ),
        Turn(id="c", parent="b", role="user", content=(TextPart("Thanks"),), created_at=30),
    ]
    details = Conversation(
        id="made", title="Made", system_prompt="Be brief.", model="m", created_at=10, updated_at=30
    )
    return Conversation.of(details, turns)


def read_back(path: Path, text: str) -> Conversation:
    path.write_text(text)
    (found,) = read_source(path, Gathered())
    assert isinstance(found, Conversation)
    return found


@pytest.mark.parametrize("name", EXPORTS)
def test_export_import_export_is_stable(name: str, tmp_path: Path) -> None:
    file, export = EXPORTS[name]
    first = read_back(tmp_path / file, export(made()))
    again = read_back(tmp_path / file, export(first))
    assert export(again) == export(first)
    assert again.id == first.id
    assert [turn.id for turn in again.turns()] == [turn.id for turn in first.turns()]
    assert first.system_prompt == "Be brief."
    assert first.path()[1].reasoning == "Hm.\n\nYes."
    assert "## User" in first.path()[1].model_text
    assert len(first) == 3


def test_calls_survive_as_openai_messages(tmp_path: Path) -> None:
    (_, reply, _) = read_back(tmp_path / "x.jsonl", to_openai([(made(), made().path())])).path()
    assert [type(part) for part in reply.content] == [TextPart, ToolCallPart, ToolResultPart, TextPart]


def test_html_runs_nothing_and_fetches_nothing() -> None:
    hostile = (
        "<script>alert(1)</script> ![x](https://example.com/x.png) [bad](javascript:alert(1))"
        "\x1b[31m <img src=x onerror=alert(1)>"
    )
    turns = [
        Turn(id="a", parent=None, role="user", content=(TextPart(hostile),), created_at=1),
        Turn(
            id="b",
            parent="a",
            role="assistant",
            content=(
                TextPart("**bold** `<b>`\n\n| a |\n|---|\n| 1 |"),
                ToolCallPart("", "<i>", "</pre><script>"),
            ),
            reasoning="<b>thought</b>",
            created_at=2,
        ),
    ]
    conversation = Conversation.of(Conversation(id="h", title="</title><script>", system_prompt="<x>"), turns)
    page = to_html([(conversation, conversation.path())])
    assert "<script" not in page
    assert "<img" not in page
    assert 'href="javascript' not in page
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "<strong>bold</strong> <code>&lt;b&gt;</code>" in page
    assert "<td>1</td>" in page
    assert "<summary>Thinking</summary>\n<p>&lt;b&gt;thought&lt;/b&gt;</p>" in page
