"""Conversations of other programs: three sources of each format, imported, exported and imported again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text
from spnl_tui.conversations.exchange.imports import read_text
from spnl_tui.conversations.exchange.items import Skipped
from spnl_tui.conversations.exchange.readers.messages import Gathered
from spnl_tui.conversations.exchange.sources import read_source
from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import StoreError
from spnl_tui.models.parts import FilePart, ImagePart, TextPart, ToolCallPart, ToolResultPart
from tests.support.foreign_chats import FORMATS, PNG, Writer

READABLE = [
    pytest.param(writer, said, id=f"{name}, {kind}")
    for name, (ordinary, odd, _) in FORMATS.items()
    for kind, (writer, said) in (("ordinary", ordinary), ("odd", odd))
]


def read(path: Path, gathered: Gathered | None = None) -> Iterator[Conversation | Skipped]:
    return read_source(path, gathered or Gathered())


def conversations_in(path: Path) -> list[Conversation]:
    return [item for item in read(path) if isinstance(item, Conversation)]


@pytest.mark.parametrize(("writer", "said"), READABLE)
async def test_import_export_import_is_stable(writer: Writer, said: list[str], tmp_path: Path) -> None:
    path = writer(tmp_path)
    first = conversations_in(path)
    assert [turn.text for turn in first[0].path()] == said
    assert first[0].title
    exported = to_json_text(first)
    assert to_json_text(read_text(exported)) == exported
    store = await Store.open(tmp_path / "ours/store.db")
    assert len((await store.import_all(first, dry_run=True)).added) == len(first)
    assert (await store.list()).items == ()
    assert len((await store.import_all(first)).added) == len(first)
    # Reading it anew gives the same ids; only the time of an import without times differs.
    again = await store.import_all(conversations_in(path))
    assert (again.added, len(again.unchanged) + len(again.updated)) == ([], len(first))
    assert len((await store.list()).items) == len(first)
    await store.close()


@pytest.mark.parametrize("name", FORMATS)
async def test_hostile_source_ends_in_conversations_or_reasons(name: str, tmp_path: Path) -> None:
    path = FORMATS[name][2](tmp_path)
    try:
        items = list(read(path))
    except StoreError as error:
        items = [Skipped(path.name, error.message)]
    assert all(isinstance(item, Conversation) or item.reason for item in items)
    store = await Store.open(tmp_path / "ours/store.db")
    await store.import_all([item for item in items if isinstance(item, Conversation)])
    await store.close()


def test_parts_survive_the_import(tmp_path: Path) -> None:
    kinds = {
        "claude with tools": (FilePart, TextPart, ToolCallPart, ToolResultPart),
        "openai messages": (TextPart, ImagePart, ToolCallPart, ToolResultPart),
        "ollama": (TextPart, ImagePart, ToolCallPart, ToolResultPart),
        "open webui": (ImagePart, TextPart),
        "parllama": (ImagePart, TextPart),
        "oterm": (ImagePart, TextPart),
    }
    for name, expected in kinds.items():
        gathered = Gathered()
        writers = [FORMATS[name][0][0], FORMATS[name][1][0]]
        found = [
            {type(part) for turn in item.turns() for part in turn.content}
            for number, writer in enumerate(writers)
            for item in read(writer(tmp_path / name / str(number)), gathered)
            if isinstance(item, Conversation)
        ]
        assert set().union(*found) == {*expected, TextPart}, name
        if ImagePart in expected:
            assert list(gathered.images.values()) == [PNG]


def test_thoughts_models_and_system_prompts_are_kept(tmp_path: Path) -> None:
    (found,) = conversations_in(FORMATS["lm studio"][0][0](tmp_path))
    reply = found.path()[1]
    assert (reply.reasoning, found.system_prompt) == ("Hm.", "Be kind.")
    assert reply.provenance is not None
    assert reply.provenance.model == "qwen"


def test_what_is_skipped_is_named_with_a_reason(tmp_path: Path) -> None:
    skipped = [item for item in read(FORMATS["openai lines"][2](tmp_path)) if isinstance(item, Skipped)]
    assert [(each.title, each.reason) for each in skipped] == [
        ("Line 2", "it is not JSON"),
        ("Item 3", "it is not a conversation"),
    ]
    shards = [item for item in read(FORMATS["chatgpt"][2](tmp_path)) if isinstance(item, Skipped)]
    assert [each.title for each in shards] == ["conversations-001.json"]
    assert "is not JSON" in shards[0].reason


def test_export_of_many_items_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spnl_tui.conversations.exchange.sources.LARGE", 100)
    for name in ("claude", "chatgpt", "sharegpt", "openai lines"):
        writer, said = FORMATS[name][0]
        path = writer(tmp_path / name)
        assert [turn.text for turn in conversations_in(path)[0].path()] == said, name
    damaged = tmp_path / "damaged.json"
    damaged.write_text('[{"conversations": [{"from": "human", "value": "' + "x" * 200 + '"}]}, {"conv')
    reading = read(damaged)
    assert isinstance(next(reading), Conversation)
    with pytest.raises(StoreError, match="is not JSON"):
        next(reading)
