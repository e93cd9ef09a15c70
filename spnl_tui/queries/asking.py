"""One request to the engine, with all of its candidates: where a query and a map meet the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Sequence as Messages
from contextlib import aclosing
from dataclasses import replace
from typing import TypeAlias

from spnl_tui.engine.backend import (
    Backend,
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
    Timing,
    Usage,
)
from spnl_tui.errors import SpnlError
from spnl_tui.models.reply import reply_problem
from spnl_tui.models.request import Message, Sampling
from spnl_tui.queries.events import NodeChunk, NodeFailed, NodeFinished, NodeProgressed, QueryEvent, Stage
from spnl_tui.queries.tree import NodePath

Resolve: TypeAlias = Callable[[str], Awaitable[ModelHandle]]
"""Returns the model of that name. Raises SpnlError if there is none."""


async def ask(
    engine: Backend,
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

    When it is cancelled, what had come of each reply is emitted as finished ("cancelled"), and the
    engine's iterator is left, before the cancellation goes on.
    """
    replies = [_Reply() for _ in range(n)]
    try:
        request = ChatRequest(messages=messages, sampling=sampling, n=n)
        async with aclosing(engine.generate(model, request)) as events:
            async for event in events:
                _take(event, replies, emit, path, candidate, model.name, sampling)
    except asyncio.CancelledError:
        for index, reply in enumerate(replies):
            if not reply.done:
                emit(reply.finished(path, candidate + index, model.name, "cancelled", Usage(), Timing()))
        raise
    except SpnlError as error:
        # The engine refuses what it can tell to be wrong before it starts.
        for index, reply in enumerate(replies):
            if not reply.done:
                emit(reply.failed(path, candidate + index, error.title, error.message, error.hint))
    for index, reply in enumerate(replies):
        if not reply.done:
            emit(reply.failed(path, candidate + index, "No reply", "The engine ended without one."))
    return [reply.outcome for reply in replies]


class _Reply:
    """What has come of one reply."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.done = False
        self.outcome: NodeFinished | None = None

    def finished(
        self, path: NodePath, candidate: int, model: str, reason: FinishReason, usage: Usage, timing: Timing
    ) -> NodeFinished:
        self.done = True
        finished = NodeFinished(
            path=path,
            candidate=candidate,
            model=model,
            text="".join(self.text),
            reasoning="".join(self.reasoning),
            finish_reason=reason,
            usage=usage,
            timing=timing,
        )
        if reason != "cancelled":
            self.outcome = finished
        return finished

    def failed(self, path: NodePath, candidate: int, title: str, message: str, hint: str = "") -> NodeFailed:
        self.done = True
        return NodeFailed(
            path=path,
            candidate=candidate,
            title=title,
            message=message,
            hint=hint,
            text="".join(self.text),
            reasoning="".join(self.reasoning),
        )


def _take(
    event: Event,
    replies: list[_Reply],
    emit: Callable[[QueryEvent], None],
    path: NodePath,
    first: int,
    model: str,
    sampling: Sampling,
) -> None:
    """Emit the query's event for an event of the engine."""

    def progressed(stage: Stage, done: int = 0, total: int = 0, detail: str = "") -> None:
        # The engine asks for candidates one after the other: these are about the next without any text.
        waiting = next((i for i, reply in enumerate(replies) if not reply.done and not reply.text), 0)
        emit(
            NodeProgressed(
                path=path, candidate=first + waiting, stage=stage, done=done, total=total, detail=detail
            )
        )

    match event:
        case RequestQueued():
            progressed("queued", total=event.ahead)
        case LoadProgressed():
            progressed("loading", detail=event.stage)
        case PrefillProgressed():
            progressed("prefill", event.done, event.total)
        case ReplyChunk():
            reply, candidate = replies[event.candidate], first + event.candidate
            reply.text.append(event.text)
            reply.reasoning.append(event.reasoning)
            emit(
                NodeChunk(
                    path=path,
                    candidate=candidate,
                    text=event.text,
                    reasoning=event.reasoning,
                    tokens=event.tokens,
                )
            )
        case ReplyFinished():
            reply, candidate = replies[event.candidate], first + event.candidate
            problem = reply_problem(
                "".join(reply.text),
                thought=bool("".join(reply.reasoning).strip()),
                finish_reason=event.finish_reason,
                completion_tokens=event.usage.completion_tokens,
                sampling=sampling,
            )
            if problem is None:
                emit(reply.finished(path, candidate, model, event.finish_reason, event.usage, event.timing))
            else:
                failed = reply.failed(path, candidate, problem.title, problem.message, problem.hint)
                emit(replace(failed, finish_reason=event.finish_reason))
        case RequestFailed():
            reply, candidate = replies[event.candidate], first + event.candidate
            emit(reply.failed(path, candidate, event.title, event.message, event.hint))
