"""What is being typed is handed to the engine to be read meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spnl_tui.engine.backend import Event, ModelHandle, ModelLoaded
from spnl_tui.engine.prefetch import Prefetch
from spnl_tui.models.request import Sampling
from spnl_tui.settings import ChatSettings, Settings
from tests.support.scripted_engine import MODEL, ScriptedEngine, reply
from tests.support.waiting import wait_until
from tests.ui.support import Chat, TempStore, chat, held


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spnl_tui.chat.draft._REST_S", 0.02)


def sent(reading: Prefetch) -> list[tuple[str, str]]:
    """Roles and texts of what is read."""
    return [(message.role, message.text) for message in reading.messages]


async def read(it: Chat, count: int = 1) -> list[tuple[str, str]]:
    """Wait until so many things were to be read; the last of them."""
    await wait_until(lambda: len(it.engine.read) == count)
    return sent(it.engine.read[-1])


async def looked(it: Chat) -> None:
    """Wait for the interface to have looked at what is typed."""
    await asyncio.sleep(0.1)
    await it.pilot.pause()


@pytest.mark.slow
async def test_prefetch_reads_the_prompt_without_its_last_word(store: TempStore) -> None:
    settings = Settings(chat=ChatSettings(system_prompt="Be brief."), sampling=Sampling(temperature=0.5))
    async with chat(store=store, settings=settings) as it:
        await it.ask("Hello")
        it.prompt.insert("Where is\nthe riv")
        assert await read(it) == [
            ("system", "Be brief."),
            ("user", "Hello"),
            ("assistant", "Yes."),
            ("user", "Where is\nthe"),
        ]
        assert it.engine.read[-1].sampling.temperature == 0.5


async def test_prefetch_of_one_word_reads_only_the_conversation(store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hello")
        it.prompt.insert("Wh")
        assert await read(it) == [("user", "Hello"), ("assistant", "Yes.")]


async def test_text_typed_during_a_prefetch_is_read_next_or_stops_it() -> None:
    async with chat() as it:
        it.prompt.insert("Where is the river ")
        await read(it)
        it.prompt.insert("and its mouth ")
        await looked(it)
        assert len(it.engine.read) == 1
        assert not it.engine.read[0].stopped.is_set()
        it.engine.read[0].ended.set()
        assert await read(it, 2) == [("user", "Where is the river and its")]
        it.prompt.replace_all("Something quite different now")
        await wait_until(it.engine.read[1].stopped.is_set)
        assert len(it.engine.read) == 2
        it.engine.read[1].ended.set()
        assert await read(it, 3) == [("user", "Something quite different")]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["enter", "ctrl+u", "ctrl+n"])
async def test_emptied_prompt_stops_the_prefetch(key: str, store: TempStore) -> None:
    async with chat(store=store) as it:
        await it.ask("Hello")
        it.prompt.insert("Where is the river")
        await read(it)
        await it.press(key)
        await wait_until(it.engine.read[0].stopped.is_set)


async def test_prefetch_reads_a_file_as_it_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("The river is long.\nIt is wide.")
    async with chat() as it:
        it.prompt.insert("What does @notes.txt say of its length")
        [(_, text)] = await read(it)
        await it.press("enter")
        await wait_until(lambda: it.engine.asked)
        assert it.engine.asked[-1][-1].text.startswith(text)
        assert "It is wide." in it.engine.asked[-1][-1].text


@pytest.mark.slow
async def test_prefetch_reads_edited_prompts_but_not_edited_replies(store: TempStore) -> None:
    async with chat(ScriptedEngine([reply("A."), reply("B.")]), store=store) as it:
        await it.ask("First")
        await it.ask("Second one")
        await it.press("ctrl+e")
        assert await read(it) == [("user", "First"), ("assistant", "A."), ("user", "Second")]
        it.engine.read[0].ended.set()
        await it.press("escape")
        await it.press("alt+up")
        await wait_until(lambda: it.screen.turns.under_cursor() is not None)
        await it.press("ctrl+e")
        await wait_until(lambda: it.prompt.text == "B.")
        it.prompt.insert(" And so on and on")
        await looked(it)
        assert len(it.engine.read) == 1


@pytest.mark.slow
async def test_prefetch_waits_for_the_end_of_a_reply(store: TempStore) -> None:
    hold = asyncio.Event()
    async with chat(ScriptedEngine([held("So", hold, " it is.")]), store=store) as it:
        await it.ask("Hello", wait=False)
        await wait_until(lambda: it.turns[-1][1] == "So")
        it.prompt.insert("Where is the river")
        await looked(it)
        assert not it.engine.read
        hold.set()
        assert (await read(it))[-1] == ("user", "Where is the")


@pytest.mark.parametrize("text", ["/system Be very brief", "   "])
async def test_prefetch_does_not_read_commands(text: str) -> None:
    async with chat() as it:
        it.prompt.insert(text)
        await looked(it)
        assert not it.engine.read


async def test_prefetch_can_be_turned_off() -> None:
    async with chat(settings=Settings(chat=ChatSettings(read_ahead=False))) as it:
        it.prompt.insert("Where is the river")
        await looked(it)
        assert not it.engine.read


async def test_prefetch_reloads_a_model_unloaded_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ScriptedEngine()
    async with chat(engine) as it:
        before, loads = engine.loaded(), []
        engine.pool, engine.unloaded_idle = (), True

        async def load(model: ModelHandle) -> AsyncIterator[Event]:
            loads.append(model)
            engine.pool, engine.unloaded_idle = before, False
            yield ModelLoaded(seconds=0.5, context_length=8192)

        monkeypatch.setattr(engine, "load", load)
        it.prompt.insert("Where is the river")
        assert await read(it) == [("user", "Where is the")]
        assert loads == [MODEL]


@pytest.mark.slow
async def test_prefetch_skips_conversations_that_do_not_fit(store: TempStore) -> None:
    async with chat(ScriptedEngine(context_length=128), store=store) as it:
        await it.ask("word " * 90)
        it.prompt.insert("word " * 90)
        await looked(it)
        assert not it.engine.read


async def test_status_line_shows_the_progress_of_a_prefetch() -> None:
    async with chat() as it:
        it.prompt.insert("Where is the river")
        await read(it)
        assert it.screen.activity.state == "idle"  # it may be read at once
        it.engine.read[0].on_progress(512, 1900)
        await it.pilot.pause()
        assert "reading ahead 512/1,900" in str(it.screen.query_one("StatusLine").render())
        it.engine.read[0].ended.set()
        await wait_until(lambda: it.screen.activity.state == "idle")
        it.prompt.insert(" and the sea")
        await read(it, 2)
        it.engine.read[1].stop()  # its step goes on to its end, of no matter to anyone
        it.engine.read[1].on_progress(512, 1900)
        assert it.screen.activity.state == "idle"
