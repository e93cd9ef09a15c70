"""The replies of one node of a query: sends the request and emits what happens as events of the query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Sequence as Messages
from contextlib import aclosing
from typing import TypeAlias

from spnl_tui.engine.backend import (
    ChatRequest,
    Event,
    FinishReason,
    LoadProgressed,
    ModelHandle,
    PrefillProgressed,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    RequestQueued,
    Usage,
)
from spnl_tui.engine.reply import Generator, Replies, Reply
from spnl_tui.errors import SpnlError
from spnl_tui.models.image_marks import content_of
from spnl_tui.models.request import Message, Sampling
from spnl_tui.queries.events import NodeChunk, NodeFailed, NodeFinished, NodeProgressed, QueryEvent, Stage
from spnl_tui.queries.tree import NodePath

Resolve: TypeAlias = Callable[[str], Awaitable[ModelHandle]]
"""Returns the model of that name. Raises SpnlError if there is none."""


async def ask(
    engine: Generator,
    model: ModelHandle,
    messages: Messages[Message],
    sampling: Sampling,
    emit: Callable[[QueryEvent], None],
    *,
    path: NodePath = (),
    n: int = 1,
    candidate: int = 0,
) -> list[NodeFinished | None]:
    """Ask for n replies, numbered from `candidate`, and emit what happens. None stands for a failed one.

    On a cancellation each partial reply is emitted as finished ("cancelled"), and the engine's iterator is
    left, before the cancellation continues.
    """
    # Marks in the texts stand for the images of the query's files.
    parts = [Message(message.role, content_of(message.model_text)) for message in messages]
    request = ChatRequest(messages=parts, sampling=sampling, n=n)
    replies = _NodeReplies(request, Replies(engine, model, request), emit, path, model.name, candidate)
    return await replies.collect()


class _NodeReplies:
    """The replies of one node of a query."""

    def __init__(
        self,
        request: ChatRequest,
        replies: Replies,
        emit: Callable[[QueryEvent], None],
        path: NodePath,
        model: str,
        first: int,
    ) -> None:
        self._request = request
        self._replies = replies
        self._emit = emit
        self._path = path
        self._model = model
        self._first = first
        """The number of the first reply among those of the node."""
        self._results: list[NodeFinished | None] = [None] * request.n

    async def collect(self) -> list[NodeFinished | None]:
        try:
            async with aclosing(self._replies.events()) as events:
                async for event in events:
                    self._report(event)
        except asyncio.CancelledError:
            for candidate, reply in self._open():
                reply.finish_reason = "cancelled"
                self._emit(self._finished(candidate))
            raise
        except SpnlError as error:
            # The engine refuses what it can tell to be wrong before it starts.
            for candidate, _ in self._open():
                self._fail(candidate, error)
        return self._results

    def _open(self) -> list[tuple[int, Reply]]:
        """Return the replies without an end."""
        return [(number, reply) for number, reply in enumerate(self._replies) if reply.finish_reason is None]

    def _report(self, event: Event) -> None:
        """Emit the query's event for an event of the engine."""
        match event:
            case RequestQueued():
                self._progressed("queued", total=event.ahead)
            case LoadProgressed():
                self._progressed("loading", detail=event.stage)
            case PrefillProgressed():
                self._progressed("prefill", event.done, event.total)
            case ReplyChunk():
                self._emit(
                    NodeChunk(
                        path=self._path,
                        candidate=self._first + event.candidate,
                        text=event.text,
                        reasoning=event.reasoning,
                        tokens=event.tokens,
                    )
                )
            case ReplyFinished():
                if (problem := self._replies[event.candidate].problem(self._request)) is not None:
                    self._fail(event.candidate, problem, event.finish_reason)
                    return
                finished = self._finished(event.candidate)
                if event.finish_reason != "cancelled":
                    self._results[event.candidate] = finished
                self._emit(finished)
            case RequestFailed():
                self._fail(event.candidate, event)

    def _progressed(self, stage: Stage, done: int = 0, total: int = 0, detail: str = "") -> None:
        # The engine answers candidates one after the other: these are about the next without any text.
        waiting = next((number for number, reply in self._open() if not reply.text), 0)
        candidate = self._first + waiting
        self._emit(
            NodeProgressed(
                path=self._path, candidate=candidate, stage=stage, done=done, total=total, detail=detail
            )
        )

    def _finished(self, candidate: int) -> NodeFinished:
        reply = self._replies[candidate]
        assert reply.finish_reason is not None
        assert reply.finish_reason != "failed"
        return NodeFinished(
            path=self._path,
            candidate=self._first + candidate,
            model=self._model,
            text=reply.text,
            reasoning=reply.reasoning,
            finish_reason=reply.finish_reason,
            usage=reply.usage or Usage(),
            timing=reply.timing,
        )

    def _fail(
        self, candidate: int, error: SpnlError | RequestFailed, finish_reason: FinishReason | None = None
    ) -> None:
        reply = self._replies[candidate]
        self._emit(
            NodeFailed(
                path=self._path,
                candidate=self._first + candidate,
                title=error.title,
                message=error.message,
                hint=error.hint,
                text=reply.text,
                reasoning=reply.reasoning,
                finish_reason=finish_reason,
            )
        )
