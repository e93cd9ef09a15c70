"""The unsent prompt survives the end of the program, whatever ended it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from spnl_tui.conversations.drafts import Draft, DraftFile
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import wait_until
from tests.ui.support import TempStore, chat, held

PASTE = "pasted line\n" * 30


@pytest.mark.slow
async def test_draft_with_a_folded_paste_survives_quitting(tmp_path: Path) -> None:
    async with chat(drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.screen.drafts.restored)
        it.prompt.insert(f"sum up {it.prompt.folds.fold(PASTE)}")
        await it.press("ctrl+q")
        await wait_until(lambda: not it.app.is_running)
    async with chat(drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.prompt.text == "sum up [pasted 30 lines]")
        assert it.prompt.folds.unfold(it.prompt.text) == f"sum up {PASTE}"
        await it.press("enter")
        await wait_until(lambda: it.ended() == 1)
        assert it.turns[0] == ("user", f"sum up {PASTE}")
    async with chat(drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.screen.drafts.restored)
        assert it.prompt.text == ""


@pytest.mark.slow
async def test_prompt_that_waits_for_a_reply_survives_quitting(tmp_path: Path) -> None:
    async with chat(ScriptedEngine([held("Half", asyncio.Event())]), drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.screen.drafts.restored)
        await it.ask("first", wait=False)
        await wait_until(lambda: it.screen.replying)
        await it.press(*"second", "enter", *"third")
        await wait_until(lambda: len(it.screen.sessions.visible.queue) == 1)
    async with chat(drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.prompt.text == "second\n\nthird")


@pytest.mark.slow
async def test_draft_of_a_prompt_that_was_sent_is_not_restored(tmp_path: Path, store: TempStore) -> None:
    async with chat(drafts=DraftFile(tmp_path / "drafts"), store=store) as it:
        await it.ask("sent, and then killed")
    left = DraftFile(tmp_path / "drafts")
    left.open()
    left.save(Draft("sent, and then killed"))
    left.close()
    async with chat(drafts=DraftFile(tmp_path / "drafts"), store=store) as it:
        await wait_until(lambda: it.screen.drafts.restored)
        assert it.prompt.text == ""


@pytest.mark.slow
async def test_draft_is_saved_while_typing(tmp_path: Path) -> None:
    async with chat(drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.screen.drafts.restored)
        await it.press(*"half a thought")
        file = tmp_path / "0.json"
        await wait_until(lambda: file.exists() and "half a thought" in file.read_text())


def test_programs_side_by_side_keep_their_own_drafts(tmp_path: Path) -> None:
    first, second = DraftFile(tmp_path), DraftFile(tmp_path)
    assert first.open() == second.open() == Draft()
    first.save(Draft("one"))
    second.save(Draft("two"))
    third = DraftFile(tmp_path)
    assert third.open() == Draft()
    first.close()
    third.close()
    again = DraftFile(tmp_path)
    assert again.open() == Draft("one")
    second.close()
    again.close()


def test_damaged_draft_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "0.json").write_text('{"typed": 7')
    file = DraftFile(tmp_path)
    assert file.open() == Draft()
    file.close()


@pytest.mark.slow
async def test_prompt_queued_in_a_hidden_conversation_survives_quitting(tmp_path: Path) -> None:
    async with chat(ScriptedEngine([held("Half", asyncio.Event())]), drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.screen.drafts.restored)
        await it.ask("first", wait=False)
        await wait_until(lambda: it.screen.replying)
        await it.press(*"second", "enter")
        await wait_until(lambda: len(it.screen.sessions.visible.queue) == 1)
        await it.press("ctrl+n")
        await wait_until(lambda: not it.turns)
        await it.press(*"third")
    async with chat(drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.prompt.text == "second\n\nthird")


@pytest.mark.slow
async def test_text_that_was_set_aside_for_an_edit_survives_quitting(tmp_path: Path) -> None:
    async with chat(drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.screen.drafts.restored)
        await it.ask("first")
        it.prompt.insert("set aside")
        turn = it.screen.conversation.path()[0]
        it.screen.sessions.visible.selection.edit(turn, it.prompt.text)
        it.prompt.replace_all("first, edited")
    async with chat(drafts=DraftFile(tmp_path)) as it:
        await wait_until(lambda: it.prompt.text == "set aside\n\nfirst, edited")
