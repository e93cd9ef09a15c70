"""The whole interface over a second backend, alone and beside a real model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from spnl_tui.conversations.turn import Turn
from spnl_tui.engine.backend import ModelHandle
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.engine.service import EngineService
from spnl_tui.load_planning import load_planner
from spnl_tui.models.files.local import resolve_local
from spnl_tui.paths import Paths
from spnl_tui.queries.chat import query_to_chat
from spnl_tui.queries.formats.any_format import read_query
from spnl_tui.settings import Settings
from tests.support.echo_backend import CONTEXT, EchoBackend
from tests.support.waiting import wait_until
from tests.ui.candidates_support import many, replies
from tests.ui.support import TempStore, chat, kept, until_kept


async def echo(name: str = "echo") -> ModelHandle:
    model = await EchoBackend().find(name)
    assert model is not None
    return model


@pytest.mark.slow
async def test_echo_conversation_is_stored_with_its_figures(store: TempStore) -> None:
    backend = EchoBackend()
    engine = EngineService([backend])
    async with chat(engine, model=await echo(), store=store) as it:
        await it.ask("How are you?")
        await it.ask("Well.")
        assert it.turns[1::2] == [("assistant", "How are you?"), ("assistant", "Well.")]
        assert it.screen.activity.context_length == CONTEXT
        reply = it.screen.conversation.path()[-1]
        assert reply.provenance is not None
        assert (reply.provenance.model, reply.provenance.load_plan) == ("echo", "")
        assert (reply.provenance.prompt_tokens, reply.provenance.completion_tokens) == (7, 1)
        await it.press("ctrl+r")
        await wait_until(lambda: it.ended() == 3)
        await until_kept(it, store, lambda conversation: len(conversation.siblings(reply.id)) == 2)
    assert backend.closed
    [turns] = await kept(store)
    assert [(role, text) for role, text, _ in turns][-1] == ("assistant", "Well.")


@pytest.mark.slow
async def test_picked_echo_candidate_is_stored(store: TempStore) -> None:
    async with chat(EngineService([EchoBackend()]), model=await echo(), store=store) as it:
        await many(it, "/n 3 Say it")
        assert [turn.text for turn in replies(it)] == ["Say it"] * 3
        await it.press("right", "enter")
        chosen = it.screen.conversation.path()[-1].id
        await until_kept(it, store, lambda conversation: conversation.path()[-1].id == chosen)


async def test_two_echoes_are_compared_and_each_reply_names_its_model() -> None:
    models = {"echo/b": await echo("echo/b")}
    async with chat(EngineService([EchoBackend()]), model=await echo("echo/a"), models=models) as it:
        await many(it, "/compare echo/b -- Who are you?", ended=2)
        assert names(replies(it)) == ["echo/a", "echo/b"]


async def test_span_query_opens_as_a_chat_with_an_echo() -> None:
    query = read_query('(g "echo" (cross (system "Be brief.") (user "Hello there")) 0 20)', {})
    opened = query_to_chat(query, Settings().sampling)
    async with chat(EngineService([EchoBackend()]), model=await echo(), opened=opened) as it:
        await wait_until(lambda: it.prompt.text == "Hello there")
        await it.press("enter")
        await wait_until(lambda: it.ended() == 1)
        assert it.turns[-1] == ("assistant", "Hello there")
        assert it.screen.conversation.system_prompt == "Be brief."


# ── beside a real model ──────────────────────────────────────────────────────────────────────────


@pytest_asyncio.fixture
async def both(tmp_path: Path) -> AsyncIterator[EngineService]:
    paths = Paths.below(tmp_path / "spnl")
    engine = EngineService([EchoBackend(), MistralRsBackend(load_planner(Settings()), paths)])
    yield engine
    await engine.close()


@pytest.mark.alone
async def test_echo_is_compared_with_a_real_model(
    starter_gguf: Path, both: EngineService, store: TempStore
) -> None:
    real = to_handle(resolve_local(starter_gguf, "starter"))
    async with chat(both, model=await echo(), models={"starter": real}, store=store) as it:
        await it.ask("Hello")
        it.prompt.insert("/compare starter -- Name the capital of France.")
        await it.press("enter")
        await wait_until(lambda: it.ended() == 3, timeout=120)
        assert names(replies(it)) == ["echo", "starter"]
        first, second = replies(it)
        assert first.text == "Name the capital of France."
        assert second.text not in ("", first.text)
        assert {each.model.backend for each in both.loaded()} == {"echo", "mistral.rs"}
        await until_kept(it, store, lambda conversation: second.id in conversation)


def names(turns: list[Turn]) -> list[str]:
    return [turn.provenance.model for turn in turns if turn.provenance]
