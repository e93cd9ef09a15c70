"""Collects the events of a request into replies. The interface, the commands and the queries all use it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from spnl_tui.engine.backend import (
    CallProgressed,
    Event,
    FinishReason,
    ModelHandle,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
    Timing,
    Usage,
)
from spnl_tui.errors import RequestError
from spnl_tui.models.parts import Content, ToolCallPart, as_content

ReplyEnd: TypeAlias = FinishReason | Literal["failed"]

BROKEN_OFF = RequestFailed(kind="internal", title="The reply broke off", message="The engine gave no reason.")
"""Ends a reply whose backend broke its promise of an end, so that callers do not wait for ever."""


@dataclass(slots=True)
class Reply:
    """One reply as it grows."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallPart, ...] = ()
    calls: dict[str, CallProgressed] = field(default_factory=dict)
    """The last state of each call that the agent runs, by its id."""
    tokens: int = 0
    finish_reason: ReplyEnd | None = None
    """None until it ends. Its reader writes "cancelled" if it stops reading."""
    usage: Usage | None = None
    timing: Timing = field(default_factory=Timing)
    stopped_because: str = ""
    """Why the program stopped the reply, if it did, as a clause."""
    failure: RequestFailed | None = None
    """The event that ended it, if it failed."""
    _before: Content = ()
    """The parts before the text that grows."""
    _from: int = 0
    """The offset in `text` at which it begins."""

    @property
    def content(self) -> Content:
        """The parts in order: texts, calls and the results of calls."""
        return (*self._before, *as_content(self.text[self._from :]))

    @property
    def error(self) -> str:
        """The failure, or why the program stopped the reply, in words for the user; else empty."""
        if (failure := self.failure) is None:
            return self.stopped_because
        return "\n".join(filter(None, (failure.title, failure.message, failure.hint)))

    @property
    def too_long(self) -> bool:
        """True if the prompt does not fit into the context."""
        return self.failure is not None and self.failure.kind == "context"

    def take(self, event: Event) -> None:
        """Add what the event says about this reply."""
        match event:
            case ReplyChunk():
                self.text += event.text
                self.reasoning += event.reasoning
                if event.tool_calls:
                    self.tool_calls += event.tool_calls
                    self._before, self._from = (*self.content, *event.tool_calls), len(self.text)
                self.tokens = event.tokens
            case CallProgressed():
                self.calls[event.call.id] = event
                if event.result is not None:
                    self._before, self._from = (*self.content, event.result), len(self.text)
            case ReplyFinished():
                self.finish_reason, self.usage, self.timing = event.finish_reason, event.usage, event.timing
            case RequestFailed():
                self.finish_reason, self.failure = "failed", event

    def problem(self, request: Request) -> RequestError | None:
        """Return why the finished reply is of no use; None if it is, or if it has no end or has failed."""
        from spnl_tui.models.reply import reply_problem

        if self.finish_reason is None or self.finish_reason == "failed":
            return None
        return reply_problem(
            self.text,
            thought=bool(self.reasoning.strip()),
            finish_reason=self.finish_reason,
            completion_tokens=self.usage.completion_tokens if self.usage else 0,
            sampling=request.sampling,
            grammar=request.grammar,
        )


class Generator(Protocol):
    """Answers requests: a backend, the engine, or an agent that runs calls of tools in between."""

    def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer the request; see `Backend`."""


class Replies:
    """The replies to one request, by their numbers."""

    def __init__(self, engine: Generator, model: ModelHandle, request: Request) -> None:
        self._engine, self._model, self._request = engine, model, request
        self._replies = tuple(Reply() for _ in range(request.n))

    def __getitem__(self, candidate: int) -> Reply:
        return self._replies[candidate]

    def __iter__(self) -> Iterator[Reply]:
        return iter(self._replies)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Send the request and yield its events, each after it was added to its reply.

        Every reply gets an end, also if the backend sends none. Leave the iterator with `aclosing` to cancel
        the request.
        """
        async with aclosing(self._engine.generate(self._model, self._request)) as events:
            async for event in events:
                if isinstance(event, CallProgressed):
                    self._replies[0].take(event)
                if isinstance(event, ReplyChunk | ReplyFinished | RequestFailed):
                    self._replies[event.candidate].take(event)
                yield event
        for candidate, reply in enumerate(self._replies):
            if reply.finish_reason is None:
                failed = replace(BROKEN_OFF, candidate=candidate)
                reply.take(failed)
                yield failed


async def collect(engine: Generator, model: ModelHandle, request: Request) -> Reply:
    """Return the complete reply to a request for one.

    Raises:
        RequestError: the request failed.
    """
    replies = Replies(engine, model, request)
    async with aclosing(replies.events()) as events:
        async for _ in events:
            pass
    if (failure := replies[0].failure) is not None:
        raise RequestError(failure.title, failure.message, failure.hint)
    return replies[0]
