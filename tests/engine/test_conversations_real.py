"""Conversations with the real model: the meter against the engine's own count, full contexts, replays."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from spnl_tui.conversations.context import Policy, prompt_sha256, request_messages
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.meter import TokenMeter, learn_overhead
from spnl_tui.conversations.replay import ReplayRequest, replay
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.engine.backend import Backend, ModelHandle, ReplyChunk, ReplyFinished, RequestFailed, Usage
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.errors import RequestError
from spnl_tui.models.files.local import resolve_local
from spnl_tui.models.request import Message, Sampling
from spnl_tui.paths import Paths
from spnl_tui.services import make_engine
from spnl_tui.settings import ContextSettings, Settings
from tests.support.engines import ask
from tests.support.full_context import drive

GREEDY = Sampling(temperature=0, max_tokens=8)

# The engine is shared by the tests of this file: a load for each would take longer than the tests.
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Talker:
    """Has the model reply, as the interface does, with a meter."""

    def __init__(self, engine: Backend, model: ModelHandle) -> None:
        self.engine = engine
        self.model = model
        self.meter = TokenMeter(self.count)

    async def count(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        return await self.engine.count_tokens(self.model, texts)

    async def request(self, messages: tuple[Message, ...], sampling: Sampling) -> tuple[str, Usage]:
        text = ""
        async with aclosing(ask(self.engine, self.model, messages, sampling)) as events:
            async for event in events:
                if isinstance(event, ReplyChunk):
                    text += event.text
                elif isinstance(event, ReplyFinished):
                    return text, event.usage
                elif isinstance(event, RequestFailed):
                    raise RequestError(event.title, event.message)
        raise AssertionError("the request has no end")

    async def prompt_tokens(self, messages: tuple[Message, ...]) -> int | None:
        return (await self.request(messages, dataclasses.replace(GREEDY, max_tokens=1)))[1].prompt_tokens

    async def reply(self, request: ReplayRequest) -> str:
        """For replays."""
        return (await self.request(request.messages, request.sampling))[0]

    async def answer(self, conversation: Conversation) -> Turn:
        """Have the last prompt answered; the reply has the provenance that a replay needs."""
        messages = request_messages(conversation.system_prompt, conversation.path())
        text, usage = await self.request(messages, conversation.sampling)
        reply = conversation.add_turn("assistant", text)
        provenance = Provenance(
            model=self.model.name,
            sampling=conversation.sampling,
            system_prompt=conversation.system_prompt,
            prompt_sha256=prompt_sha256(messages),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )
        return conversation.finish(reply.id, "stop", provenance=provenance)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talker(starter_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Talker]:
    engine = make_engine(Settings(), Paths.below(tmp_path_factory.mktemp("spnl")))
    talker = Talker(engine, to_handle(resolve_local(starter_gguf, "starter")))
    try:
        await talker.request((Message("user", "Hi"),), GREEDY)
        overhead = await learn_overhead(talker.prompt_tokens, talker.count)
        assert overhead is not None
        talker.meter.overhead = overhead
        yield talker
    finally:
        await engine.close()


@pytest.mark.parametrize("system", ["", "You are terse. Ünïcödé: 日本語 🎉"])
async def test_meter_shows_the_tokens_that_the_engine_counts(talker: Talker, system: str) -> None:
    said = [Message("system", system)] if system else []
    for text in ("Why is the sky blue?", "def f(x):\n\treturn x  # ½\n\n\n", "🎉 " * 20, "a\tb  c"):
        said.append(Message("user", text))
        messages = tuple(said)
        assert await talker.meter.count_messages(messages) == await talker.prompt_tokens(messages)
        said.append(Message("assistant", f"About {text[:7]} I know little."))


@pytest.mark.parametrize("policy", ["drop_oldest", "summarize", "ask"])
async def test_conversation_continues_past_its_context(
    talker: Talker, tmp_path: Path, policy: Policy
) -> None:
    settings = Settings(context=ContextSettings(policy=policy))
    store = await Store.open(tmp_path / "c.db")
    try:
        driven = drive(
            talker.engine, talker.model, settings, store, context=256, prompts=5, tokens=45, max_tokens=8
        )
        replies = [reply async for reply in driven]
    finally:
        await store.close()
    assert replies[-1].left_out > replies[0].left_out == 0
    assert any(reply.summarized for reply in replies) == (policy == "summarize")
    assert any(reply.asked for reply in replies) == (policy == "ask")
    # The first two replies teach the meter what the chat template adds.
    assert [reply.counted - reply.used for reply in replies[2:]] == [0] * 3


async def test_replay_reproduces_ten_greedy_replies(talker: Talker) -> None:
    conversation = Conversation(system_prompt="Answer in few words.", sampling=GREEDY)
    for number in range(10):
        conversation.add_turn("user", f"What comes after {number * 3}?")
        await talker.answer(conversation)
    replies = [turn for turn in conversation.path() if turn.role == "assistant"]
    results = [await replay(conversation, reply.id, talker) for reply in reversed(replies)]
    assert [(result.same, result.request.doubts) for result in results] == [(True, ())] * 10


async def test_sampled_reply_repeats_only_with_its_seed(talker: Talker) -> None:
    for seed in (7, None):
        conversation = Conversation(sampling=Sampling(temperature=1.0, max_tokens=12, seed=seed))
        conversation.add_turn("user", "Write a line about the sea.")
        reply = await talker.answer(conversation)
        result = await replay(conversation, reply.id, talker)
        assert bool(result.request.doubts) == (seed is None)
        assert result.same or seed is None
