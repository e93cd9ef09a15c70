"""An engine without a model, for queries: a function of the messages replies, with delays."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from spnl_tui.engine.backend import (
    ChatRequest,
    Event,
    ModelHandle,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
    RequestQueued,
    Timing,
    Usage,
)
from spnl_tui.errors import ModelReferenceError
from spnl_tui.models.request import Message, Sampling
from spnl_tui.queries.events import QueryEvent, QueryFinished
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.run import run_query
from spnl_tui.queries.source import QuerySyntaxError
from spnl_tui.queries.tree import Query
from tests.support.bare_backend import BareBackend


def echo(messages: Sequence[Message]) -> str:
    """Return a reply that repeats the whole request, on all of which a greedy model's reply depends."""
    return "<" + " ".join(f"{message.role}:{message.text}" for message in messages) + ">"


async def resolve(name: str) -> ModelHandle:
    """Find every model on this disk, except "missing"."""
    if name == "missing":
        raise ModelReferenceError("No such model", name)
    return ModelHandle(name=name, backend="query")


@dataclass(frozen=True)
class Asked:
    """One request."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    n: int


@dataclass
class QueryEngine(BareBackend):
    """Replies with a function of the messages.

    A message "FAIL" makes its request fail; "HANG" makes it continue forever after its first chunk. With
    `shuffle`, requests alternate at random, differently for each seed.
    """

    reply: Callable[[Sequence[Message]], str] = echo
    numbered: bool = True
    """True if candidates name their numbers. Otherwise all n are equal, as greedy ones are."""
    shuffle: int | None = None
    asked: list[Asked] = field(default_factory=list)
    """The requests in order of admission."""
    running: int = 0
    most_running: int = 0
    hanging: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a request hangs."""

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        assert isinstance(request, ChatRequest)
        messages, n = request.messages, request.n
        self.asked.append(Asked(model.name, tuple(messages), request.sampling, n))
        chance = random.Random(None if self.shuffle is None else self.shuffle + len(self.asked))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            yield RequestQueued(ahead=self.running - 1)
            for candidate in range(n):
                for _ in range(chance.randrange(8) if self.shuffle is not None else 1):
                    await asyncio.sleep(0)
                yield PrefillProgressed(done=0, total=7)
                last = messages[-1].text
                text = self.reply(messages) + (f"#{candidate}" if n > 1 and self.numbered else "")
                yield ReplyChunk(text=text[:2], tokens=1, candidate=candidate)
                if last == "FAIL":
                    yield RequestFailed(
                        kind="request", title="Refused", message="It says FAIL.", candidate=candidate
                    )
                    continue
                if last == "HANG":
                    self.hanging.set()
                    await asyncio.Event().wait()
                yield ReplyChunk(text=text[2:], tokens=4, candidate=candidate)
                yield ReplyFinished(
                    finish_reason="stop",
                    usage=Usage(prompt_tokens=7, completion_tokens=4),
                    timing=Timing(load_s=0.0, queue_s=0.5, prefill_s=0.25, ttft_s=0.75, itl_s=0.01),
                    candidate=candidate,
                )
        finally:
            # Ending takes a moment, as with a real request: a caller that leaves must wait for it.
            await asyncio.sleep(0)
            self.running -= 1


async def events_of(query: str | Query, engine: QueryEngine, **options: object) -> list[QueryEvent]:
    tree = read_lisp(query) if isinstance(query, str) else query
    return [event async for event in run_query(tree, engine, resolve, **options)]  # type: ignore[arg-type]


async def finish(query: str | Query, engine: QueryEngine, **options: object) -> QueryFinished:
    events = await events_of(query, engine, **options)
    assert engine.running == 0
    assert isinstance(events[-1], QueryFinished)
    return events[-1]


async def run(query: Query, engine: QueryEngine, **options: object) -> tuple[str, ...] | str:
    """Return the results, or the reason why the query was rejected."""
    try:
        return (await finish(query, engine, **options)).texts
    except QuerySyntaxError as error:
        return error.message
