"""Admits requests: refuses what a model cannot serve, and adapts the rest to its capabilities."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from spnl_tui.engine.backend import (
    Backend,
    ChatRequest,
    CompletionRequest,
    Event,
    ModelHandle,
    PrefillProgressed,
    Request,
    failure_of,
    refused,
)
from spnl_tui.errors import RequestError, SpnlError
from spnl_tui.models.parts import images_in


def admit(backend: Backend | SpnlError, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
    """Return the events of the request. If the model refuses it, or `backend` is an error, every reply
    fails."""
    if (refusal := refusal_of(model, request)) is not None:
        return refused(failure_of(refusal, kind="request"), request.n)
    if isinstance(backend, SpnlError):
        return refused(failure_of(backend), request.n)
    can = model.capabilities
    if isinstance(request, ChatRequest) and not can.thinking:
        request = replace(request, thinking=None)
    events = backend.generate(model, request)
    return events if can.reports_prefill else _with_prefill(events)


async def _with_prefill(events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """Yield a PrefillProgressed without numbers, then the events."""
    async with aclosing(events):
        yield PrefillProgressed(done=0, total=0)
        async for event in events:
            yield event


def refusal_of(model: ModelHandle, request: Request) -> RequestError | None:
    """Return why the model cannot serve this request, or None if it can."""
    can = model.capabilities
    if isinstance(request, CompletionRequest) and not can.continues_text:
        return RequestError(
            "This model cannot continue a text",
            f"{model.name} only replies to messages.",
            "Ask it in a prompt, without --completion.",
        )
    if isinstance(request, ChatRequest) and request.continue_reply and not can.continues_replies:
        return RequestError(
            "This model cannot continue a reply",
            f"{model.name} always begins a new reply.",
            "Ask it to continue in a new prompt.",
        )
    if (
        isinstance(request, ChatRequest)
        and not can.vision
        and any(images_in(message.content) for message in request.messages)
    ):
        return RequestError(
            "This model cannot see images",
            f"{model.name} reads only text, and the conversation has an image.",
            "Choose a model that can see images, or start a new conversation without the image.",
        )
    if isinstance(request, ChatRequest) and request.tools and not can.tools:
        return RequestError(
            "This model cannot call tools",
            f"{model.name} accepts no tools.",
            "Turn the tools off, or choose a model that runs on this machine.",
        )
    if request.grammar is not None and not (
        can.grammars or (can.schemas and request.grammar.kind == "json_schema")
    ):
        return RequestError(
            "This model does not accept a reply format",
            f"{model.name} cannot restrict replies to a regular expression or grammar."
            if can.schemas
            else f"{model.name} cannot restrict replies to a JSON schema, regular expression or grammar.",
            "Leave out the format, or choose a model that runs on this machine.",
        )
    return None
