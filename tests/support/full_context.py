"""Drive a conversation past its model's context as the interface does, with the real model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from spnl_tui.chat.request import ReplyRequest
from spnl_tui.conversations.context import Budget
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.memory import Memory, memory_of
from spnl_tui.conversations.meter import TokenMeter
from spnl_tui.conversations.storage.store import Store
from spnl_tui.conversations.turn import Turn
from spnl_tui.engine.backend import (
    Backend,
    Event,
    LoadedModel,
    ModelHandle,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
)
from spnl_tui.engine.reply import Reply
from spnl_tui.models.request import Sampling
from spnl_tui.settings import Settings
from tests.support.bare_backend import BareBackend

_SHIPS = "Ship number {n} came from port {p} with {q} barrels of salt and {r} sheep, and left on day {d}. "


@dataclass(frozen=True, slots=True)
class Outcome:
    """One reply and its request."""

    counted: int
    """Prompt tokens by the meter, before the request."""
    used: int
    """Prompt tokens by the engine."""
    left_out: int
    """Number of turns left out."""
    summarized: bool
    asked: bool
    """True if the user was asked whether turns may be left out."""


class _Shorter(BareBackend):
    """An engine that limits the context of its models."""

    def __init__(self, engine: Backend, context: int) -> None:
        self._engine = engine
        self._context = context

    def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        return self._engine.generate(model, request)

    def load(self, model: ModelHandle) -> AsyncGenerator[Event, None]:
        return self._engine.load(model)

    async def count_tokens(self, model: ModelHandle, texts: Sequence[str]) -> tuple[int, ...] | None:
        return await self._engine.count_tokens(model, texts)

    def loaded(self) -> tuple[LoadedModel, ...]:
        return tuple(
            replace(each, context_length=each.context_length and min(self._context, each.context_length))
            for each in self._engine.loaded()
        )


def prompt(number: int, tokens: int) -> str:
    """Return a unique prompt of about this many tokens."""
    ships = "".join(
        _SHIPS.format(n=n, p=n * 7 % 97, q=n * 13 % 89, r=n * 3 % 71, d=n * 11 % 365)
        for n in range(number * 1000, number * 1000 + max(1, tokens // 45))
    )
    return f"{ships}How many ships are these? Answer in one word. ({number})"


async def drive(
    engine: Backend,
    model: ModelHandle,
    settings: Settings,
    store: Store,
    *,
    context: int,
    prompts: int,
    tokens: int,
    max_tokens: int = 12,
) -> AsyncIterator[Outcome]:
    """Send `count` prompts of about `tokens` tokens each. Raise AssertionError if anything is wrong.

    The context may be shorter than the model's own.
    """

    async def count(texts: object) -> tuple[int, ...] | None:
        return await engine.count_tokens(model, texts)  # type: ignore[arg-type]

    meter = TokenMeter(count)
    conversation = Conversation(
        system_prompt="Answer in few words.", sampling=Sampling(temperature=0, max_tokens=max_tokens)
    )
    said: list[str] = []
    for number in range(prompts):
        said.append(prompt(number, tokens))
        turn = conversation.add_turn("user", said[-1])
        await store.save_turn(conversation, turn)
        turn = conversation.add_turn("assistant")
        asking = ReplyRequest(_Shorter(engine, context), meter, settings, model, conversation, turn)
        memory, reply, asked = Memory(), Reply(), False

        async def remember(new: Memory) -> None:
            nonlocal memory
            memory = new

        async def may_forget(count: int) -> bool:
            nonlocal asked
            asked = True
            return True

        async with aclosing(asking.events(remember, may_forget)) as events:
            async for event in events:
                assert not isinstance(event, RequestFailed), event
                if isinstance(event, ReplyChunk | ReplyFinished):
                    reply.take(event)
        counted = await meter.count_messages(asking.messages)
        done = asking.finish(reply)
        said.append(done.text)
        await store.save_turn(conversation, done)
        await asking.learn(reply)
        assert done.provenance is not None
        assert reply.usage is not None
        assert counted is not None
        assert reply.usage.prompt_tokens <= Budget(context, max_tokens).limit + 16
        _check_marker(conversation.path(), memory)
        await _check_nothing_is_lost(store, conversation, said)
        yield Outcome(
            counted=counted,
            used=reply.usage.prompt_tokens,
            left_out=len(done.provenance.left_out),
            summarized=bool(done.provenance.summary),
            asked=asked,
        )


def _check_marker(path: tuple[Turn, ...], memory: Memory) -> None:
    """Check that the mark is at the first turn that was sent, now and after a restart."""
    assert memory_of(path) == memory
    provenance = path[-1].provenance
    assert provenance is not None
    sent = [turn.id for turn in path[:-1] if turn.id not in provenance.left_out]
    assert memory.begins == (sent[0] if provenance.left_out else None)


async def _check_nothing_is_lost(store: Store, conversation: Conversation, said: list[str]) -> None:
    stored = await store.load(conversation.id)
    assert [turn.text for turn in stored.path()] == said
