"""A store written by version 0.1.0 still opens, displays, exports and replays as it did then.

tests/support/write_store_0_1_0.py wrote the files and says what is in them.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spnl_tui.conversations import listing
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text, whole_to_markdown
from spnl_tui.conversations.exchange.imports import read_text
from spnl_tui.conversations.replay import replay_request
from spnl_tui.conversations.storage.rows import ListFilter
from spnl_tui.conversations.storage.store import Store

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC, as it was when the files were written."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A copy of the 0.1.0 store, which opening migrates."""
    copy = tmp_path / "conversations.db"
    shutil.copy(DATA / "store-0.1.0.db", copy)
    return copy


async def all_conversations(store: Store) -> list[Conversation]:
    """Every conversation, in the order of the 0.1.0 export."""
    pages = [await store.list(ListFilter(archived=archived)) for archived in (False, True)]
    found = {item.id: await store.load(item.id) for page in pages for item in page.items}
    order = [each["id"] for each in json.loads((DATA / "store-0.1.0.json").read_text())["conversations"]]
    assert sorted(found) == sorted(order)
    return [found[id] for id in order]


async def test_store_of_0_1_0_exports_the_same_json_and_markdown(store: Store) -> None:
    conversations = await all_conversations(store)
    assert to_json_text(conversations) == (DATA / "store-0.1.0.json").read_text(encoding="utf-8")
    markdown = "\n".join(map(whole_to_markdown, conversations))
    # Thoughts were left out then.
    markdown = re.sub(
        r"<details>\n<summary>Thinking</summary>.*?</details>\n\n", "", markdown, flags=re.DOTALL
    )
    assert markdown == (DATA / "store-0.1.0.md").read_text(encoding="utf-8")


async def test_store_of_0_1_0_displays_as_before(store: Store, utc: None) -> None:
    conversations = await all_conversations(store)
    shown = "".join(f"{line}\n" for each in conversations for line in listing.show_lines(each))
    assert shown == (DATA / "store-0.1.0.txt").read_text(encoding="utf-8")


async def test_store_of_0_1_0_replays_the_same_requests(store: Store) -> None:
    conversations = await all_conversations(store)
    replays = json.loads((DATA / "store-0.1.0-replays.json").read_text())
    assert len(replays) == 21
    for replay in replays:
        conversation = next(each for each in conversations if replay["turn"] in each)
        request = replay_request(conversation, replay["turn"])
        plain = json.loads(json.dumps(dataclasses.asdict(request)))
        plain["messages"] = [[message.role, message.text] for message in request.messages]
        assert plain == {name: value for name, value in replay.items() if name != "turn"}
        # The hash of the prompt was kept by 0.1.0: a doubt would say that it no longer matches.
        assert not any("changed since" in doubt for doubt in request.doubts)


async def test_store_of_0_1_0_is_searched_and_listed_as_before(store: Store) -> None:
    assert {hit.turn is None for hit in (await store.search("lantern")).hits} == {True, False}
    page = await store.list(ListFilter(tag="light", archived=True))
    assert [(item.title, item.tags) for item in page.items] == [("Name three fruits", ("light",))]


async def test_store_of_0_1_0_is_searched_in_any_form_after_its_backup(store: Store, path: Path) -> None:
    (hit,) = (await store.search("re\u0301sume\u0301")).hits
    assert hit.title == "Lanterns"
    backup = path.with_name(f"{path.name}.version-1")
    assert backup.read_bytes()[:16] == b"SQLite format 3\0"
    connection = sqlite3.connect(backup)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM turn").fetchone() == (43,)
    connection.close()


def test_export_of_0_1_0_imports_and_exports_the_same() -> None:
    text = (DATA / "store-0.1.0.json").read_text(encoding="utf-8")
    assert to_json_text(read_text(text)) == text
