"""Collects the events of a request into replies, for the interface, the commands and the queries."""

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

BROKEN_OFF = RequestFailed(
    kind="internal", title="The reply was cut off", message="The engine gave no reason."
)
"""Ends a reply whose backend sent no final event, so that callers do not wait for ever."""


@dataclass(slots=True)
class Reply:
    """One reply, which grows as events arrive."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallPart, ...] = ()
    calls: dict[str, CallProgressed] = field(default_factory=dict)
    """The latest state of each call that the agent runs, by the call's id."""
    tokens: int = 0
    finish_reason: ReplyEnd | None = None
    """None until the reply ends. A caller that stops reading sets "cancelled"."""
    usage: Usage | None = None
    timing: Timing = field(default_factory=Timing)
    stopped_because: str = ""
    """The reason, as a clause, if the program stopped the reply; else empty."""
    failure: RequestFailed | None = None
    """The event of the failure, if the reply failed."""
    _before: Content = ()
    """The completed parts, before the growing text."""
    _from: int = 0
    """The offset in `text` at which the growing text begins."""

    @property
    def content(self) -> Content:
        """The parts in order: texts, calls and their results."""
        return (*self._before, *as_content(self.text[self._from :]))

    @property
    def error(self) -> str:
        """The failure, or the reason why the program stopped the reply, for the user; else empty."""
        if (failure := self.failure) is None:
            return self.stopped_because
        return "\n".join(filter(None, (failure.title, failure.message, failure.hint)))

    @property
    def too_long(self) -> bool:
        """True if the prompt does not fit into the context."""
        return self.failure is not None and self.failure.kind == "context"

    def take(self, event: Event) -> None:
        """Add the event's contribution to this reply."""
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
        """Return why a finished reply cannot be used; None if it can, or if it has failed or not ended."""
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
    """Answers requests. Implemented by backends, the engine, and the agent, which runs tool calls in
    between."""

    def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer the request; see `Backend`."""


class Replies:
    """The replies to one request, by candidate number."""

    def __init__(self, engine: Generator, model: ModelHandle, request: Request) -> None:
        self._engine, self._model, self._request = engine, model, request
        self._replies = tuple(Reply() for _ in range(request.n))

    def __getitem__(self, candidate: int) -> Reply:
        return self._replies[candidate]

    def __iter__(self) -> Iterator[Reply]:
        return iter(self._replies)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Send the request and yield each event after adding it to its reply.

        Every reply gets an end, even if the backend sends none. Close the iterator with `aclosing` to cancel
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
    """Send a request for one reply and return the complete reply.

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
