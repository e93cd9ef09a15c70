"""What is said is kept in the real store; its errors are told and stop nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import StoreError
from tests.support.scripted_engine import ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import TempStore, chat, in_file, kept

# ── what is kept ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_turns_are_stored_even_if_the_program_ends_in_between(store: TempStore) -> None:
    hold = asyncio.Event()
    engine = ScriptedEngine([reply("One."), [*reply("Tw")[:-1], hold]])
    async with chat(engine, store=store) as it:
        await it.ask("First")
        await it.ask("Second", wait=False)
        await wait_until(lambda: it.screen.activity.state == "replying")
        await it.press("ctrl+q")
    assert await kept(store) == [
        [
            ("user", "First", None),
            ("assistant", "One.", "stop"),
            ("user", "Second", None),
            ("assistant", "Tw", "cancelled"),
        ]
    ]


@pytest.mark.slow
async def test_prompt_is_stored_before_sending_and_the_reply_while_streaming(store: TempStore) -> None:
    before, during = asyncio.Event(), asyncio.Event()
    async with chat(ScriptedEngine([[before, *reply("Half of it")[:-1], during]]), store=store) as it:
        await it.ask("First", wait=False)
        await wait_until(lambda: it.engine.asked)
        assert (await kept(store))[0][0] == ("user", "First", None)
        before.set()
        await wait_until(lambda: it.screen.activity.state == "replying")
        await wait_until(lambda: in_file(store.file, "Half of it"))
        assert (await kept(store))[0][1:] == [("assistant", "Half of it", None)]
        during.set()


@pytest.mark.slow
async def test_reply_is_stored_with_its_provenance(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hi")
        turn = it.screen.conversation.path()[-1]
        assert turn.provenance is not None
        assert turn.provenance.model == "SmolLM2-135M-Instruct"
        assert '"threads": 1' in turn.provenance.load_plan
        assert turn.provenance.sampling == it.screen.conversation.sampling
        assert turn.provenance.prompt_sha256
        assert turn.provenance.started_at
        assert (turn.provenance.prompt_tokens, turn.provenance.completion_tokens) == (20, 4)
        assert turn.provenance.decode_tokens_per_s == 80.0
        await it.pilot.pause()
        stored = await (await store()).load(it.screen.conversation.id)
        await wait_until(lambda: it.screen.conversation[turn.id] == turn)
        assert stored[turn.id] == turn


@pytest.mark.slow
async def test_history_is_read_from_the_store(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("First")
        await it.ask("Second")
    async with chat(store=store) as it:
        await wait_until(lambda: it.prompt.past.prompts)
        await it.press("up", "up")
        assert it.prompt.text == "First"


# ── errors of the store ──────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
async def test_damaged_store_is_set_aside_and_reported_at_the_start(store: TempStore) -> None:
    store.file.parent.mkdir()
    store.file.write_bytes(b"not a database" * 1000)
    async with chat(store=store) as it:
        await wait_until(lambda: it.app._notifications)
        (toast,) = it.app._notifications
        assert ".aside-" in toast.message
        await it.ask("Hi")
        assert len(await kept(store)) == 1


class Full(Store):
    """A store on a full disk."""

    async def save_turn(self, conversation: Conversation, turn: Turn) -> None:
        raise StoreError("The disk is full")


async def test_store_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    store = await Full.open(tmp_path / "c.db")

    async def open_store() -> Store:
        return store

    async with chat(store=open_store) as it:
        await it.ask("First")
        await wait_until(lambda: "The disk is full" in [toast.title for toast in it.app._notifications])
        assert it.turns == [("user", "First"), ("assistant", "Yes.")]
    await store.close()


async def test_store_that_cannot_be_opened_is_reported() -> None:
    async def open_store() -> Store:
        raise StoreError("There is no place for it")

    async with chat(store=open_store) as it:
        await it.ask("First")
        assert it.turns == [("user", "First"), ("assistant", "Yes.")]
        assert "There is no place for it" in [toast.title for toast in it.app._notifications]
