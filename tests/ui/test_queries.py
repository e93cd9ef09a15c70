"""Span queries in the chat: opened and written."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.models.request import Sampling
from spnl_tui.queries.chat import query_to_chat
from spnl_tui.queries.formats.any_format import read_query
from spnl_tui.queries.tree import with_model
from tests.support.scripted_engine import MODEL
from tests.support.waiting import wait_until
from tests.ui.candidates_support import command
from tests.ui.support import TempStore, chat


async def test_query_opens_as_a_chat_and_a_chat_exports_as_a_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: TempStore
) -> None:
    monkeypatch.chdir(tmp_path)
    text = '(g "m" (cross (system "Be brief") (user "One?") (assistant "Yes.") (user "Two?")) 0.5 64)'
    opened = query_to_chat(read_query(text), Sampling())
    async with chat(opened=opened, store=store) as it:
        await wait_until(lambda: it.prompt.text == "Two?")
        assert it.turns == [("user", "One?"), ("assistant", "Yes.")]
        await it.press("enter")
        await wait_until(lambda: it.ended() == 1)
        asked = [(message.role, message.text) for message in it.engine.asked[0]]
        assert asked == [("system", "Be brief"), ("user", "One?"), ("assistant", "Yes."), ("user", "Two?")]
        assert it.engine.requests[0][1].max_tokens == 64
        await command(it, "/export-query")
        await wait_until(lambda: exported(tmp_path))
    assert read_query(exported(tmp_path)) == with_model(read_query(text), MODEL.name)


def exported(folder: Path) -> str:
    """The text of the query that was written; empty while there is none."""
    return "".join(file.read_text() for file in folder.glob("*.lisp"))
