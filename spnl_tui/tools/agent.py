"""The loop of a reply with tools: reply → calls → permission → results → reply.

The interface and the commands use it alike. It yields the engine's events of all rounds as those of one
reply, and between them what becomes of each call.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from spnl_tui.engine.backend import (
    Backend,
    CallProgressed,
    CallState,
    ChatRequest,
    Event,
    LoadProgressed,
    ModelHandle,
    ReplyChunk,
    ReplyFinished,
    Request,
    RequestFailed,
    Usage,
    loaded_model,
)
from spnl_tui.errors import SpnlError
from spnl_tui.models.parts import Part, TextPart, ToolCallPart, ToolResultPart, append_text
from spnl_tui.models.request import Message
from spnl_tui.models.tool_formats.calls import as_object, new_call_id
from spnl_tui.tools.permissions import Permissions
from spnl_tui.tools.results import CHARACTERS_PER_TOKEN, failed_result, result_part
from spnl_tui.tools.tool import BoundTool, Effect, ToolError
from spnl_tui.tools.toolbox import Toolbox, check_arguments

_RESULT_CHARACTERS = 24_000
"""The longest result if the length of the context is unknown."""
DENIED = "The user denied this call."
"""The beginning of the result of a denied call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call that needs the user's permission."""

    call: ToolCallPart
    tool: BoundTool
    effect: Effect
    model: str
    """The name of the model that asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The user's decision about a call."""

    allowed: bool
    reason: str = ""
    """Why the user denied it. The model reads it."""
    arguments: str = ""
    """Other arguments to call the tool with, as JSON; they are checked, and asked about, again."""


Ask: TypeAlias = Callable[[Question], Awaitable[Answer]]
"""Asks the user. It stores rules for later by itself, if the user wants any."""


async def deny_all(question: Question) -> Answer:
    """Deny a call where no user can be asked."""
    name = question.tool.tool.name
    return Answer(allowed=False, reason=f"No user can be asked here, and {name} was not allowed beforehand.")


def _ignore(error: SpnlError) -> None:
    """Do nothing."""


class Agent:
    """Answers requests with tools. One conversation uses it, for one request at a time."""

    def __init__(
        self,
        engine: Backend,
        toolbox: Toolbox,
        permissions: Permissions,
        ask: Ask = deny_all,
        *,
        max_rounds: int = 8,
        report: Callable[[SpnlError], None] = _ignore,
    ) -> None:
        """`report` receives what failed when the toolbox's source was started."""
        self._report = report
        self._engine = engine
        self._toolbox = toolbox
        self._permissions = permissions
        self._ask = ask
        self._max_rounds = max_rounds
        self._asking = asyncio.Lock()

    @property
    def tools_text(self) -> str:
        """The tools as text, to count their tokens."""
        return json.dumps([tool.as_function() for tool in self._toolbox.tools], ensure_ascii=False)

    async def generate(self, model: ModelHandle, request: Request) -> AsyncGenerator[Event, None]:
        """Answer a request, one reply after the other. Leaving the iterator ends running calls."""
        assert isinstance(request, ChatRequest)
        for candidate in range(request.n):
            if not request.is_wanted(candidate):
                yield ReplyFinished(finish_reason="cancelled", candidate=candidate)
                continue
            async with aclosing(self._reply(model, replace(request, n=1))) as events:
                async for event in events:
                    if candidate and isinstance(event, ReplyChunk | ReplyFinished | RequestFailed):
                        event = replace(event, candidate=candidate)
                    yield event

    async def _reply(self, model: ModelHandle, request: ChatRequest) -> AsyncGenerator[Event, None]:
        """Answer a request for one reply, with as many rounds of calls as it takes.

        After `max_rounds` rounds the model must answer in words.
        """
        if (source := self._toolbox.source) is not None and (names := source.pending):
            yield LoadProgressed(stage=f"starting {', '.join(names)}")
            for error in await source.start():
                self._report(error)
        used, ids, first = Usage(), _ids_in(request.messages), None
        for number in range(self._max_rounds + 1):
            self._toolbox.refresh()
            request = replace(request, tools=self._toolbox.tools)
            if number == self._max_rounds:
                request = replace(request, tool_choice="none")
            said: tuple[Part, ...] = ()
            calls: list[ToolCallPart] = []
            end: ReplyFinished | None = None
            async with aclosing(self._engine.generate(model, request)) as events:
                async for event in events:
                    if isinstance(event, ReplyChunk):
                        new = [_with_own_id(call, ids) for call in event.tool_calls]
                        calls += new
                        said = append_text(said, event.text)
                        tokens = used.completion_tokens + event.tokens
                        yield replace(event, tool_calls=tuple(new), tokens=tokens)
                    elif isinstance(event, ReplyFinished):
                        end = event
                    else:
                        yield event
                        if isinstance(event, RequestFailed):
                            return
            if end is None:
                return  # the reader reports a reply without an end
            used = Usage(
                prompt_tokens=end.usage.prompt_tokens,
                completion_tokens=used.completion_tokens + end.usage.completion_tokens,
            )
            first = first or end.timing
            if not calls or end.finish_reason == "cancelled":
                timing = replace(end.timing, ttft_s=first.ttft_s, load_s=first.load_s)
                yield replace(end, usage=used, timing=timing)
                return
            results: dict[str, ToolResultPart] = {}
            async with aclosing(self._run_all(calls, model, used)) as progress:
                async for step in progress:
                    if step.result is not None:
                        results[step.call.id] = step.result
                    yield step
            request = _continued(request, said, calls, [results[call.id] for call in calls])

    async def _run_all(
        self, calls: Sequence[ToolCallPart], model: ModelHandle, used: Usage
    ) -> AsyncGenerator[CallProgressed, None]:
        """Run the calls side by side, and yield what becomes of them."""
        room = self._room(model, used) // len(calls)
        steps: asyncio.Queue[CallProgressed] = asyncio.Queue()
        tasks = [asyncio.create_task(self._run(call, model, room, steps.put_nowait)) for call in calls]
        try:
            left = len(calls)
            while left:
                step = await steps.get()
                left -= step.result is not None
                yield step
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _run(
        self, call: ToolCallPart, model: ModelHandle, room: int, report: Callable[[CallProgressed], None]
    ) -> None:
        """Run one call and report its steps; the last has a result, whatever happens."""
        started = time.monotonic()

        def ended(state: CallState, result: ToolResultPart, summary: str = "") -> None:
            seconds = time.monotonic() - started
            result = replace(result, seconds=round(seconds, 3))
            report(CallProgressed(call=call, state=state, summary=summary, seconds=seconds, result=result))

        summary, note = "", ""
        try:
            tool = self._toolbox.get(call.name)
            if tool is None:
                raise ToolError(self._toolbox.explain_missing(call.name))
            arguments = call.arguments
            while True:
                values = as_object(arguments)
                if values is None:
                    raise ToolError("The arguments are not a JSON object.")
                check_arguments(tool.tool, values)
                prepared = await tool.prepare(values)
                summary = prepared.effect.summary
                report(CallProgressed(call=call, state="waiting", summary=summary))
                answer = await self._permission(call, tool, prepared.effect, model.name)
                if not answer.allowed:
                    reason = f"{DENIED} {answer.reason}".strip()
                    ended("denied", failed_result(call, reason), summary)
                    return
                if not answer.arguments or answer.arguments == arguments:
                    break
                arguments = answer.arguments
                note = f"[The user has changed the arguments to {arguments}]\n"
            started = time.monotonic()
            report(CallProgressed(call=call, state="running", summary=summary))
            outcome = await prepared.run()
            if note:
                outcome = replace(outcome, content=(TextPart(note.strip()), *outcome.content))
            ended("failed" if outcome.error else "done", result_part(call, tool, outcome, room), summary)
        except ToolError as error:
            ended("failed", failed_result(call, f"{note}{error}"[: max(room, 1000)]), summary)
        except Exception as error:  # a tool's own mistake must not end the reply
            reason = f"The tool failed: {type(error).__name__}: {error}"
            ended("failed", failed_result(call, reason[:1000]), summary)

    async def _permission(self, call: ToolCallPart, tool: BoundTool, effect: Effect, model: str) -> Answer:
        """Return the decision: by the rules, else by the user. One question at a time."""
        async with self._asking:
            # Inside the lock: the answer to the question before may cover this call.
            decision = self._permissions.decide(tool, effect)
            if decision == "deny":
                return Answer(allowed=False, reason="A permission of the configuration forbids it.")
            if decision == "allow":
                return Answer(allowed=True)
            return await self._ask(Question(call=call, tool=tool, effect=effect, model=model))

    def _room(self, model: ModelHandle, used: Usage) -> int:
        """Return the characters that results may have: half of what is left of the context."""
        loaded = loaded_model(self._engine, model)
        context = (loaded.context_length if loaded else None) or model.context_length
        if context is None:
            return _RESULT_CHARACTERS
        left = context - used.prompt_tokens - used.completion_tokens
        return max(0, left // 2) * CHARACTERS_PER_TOKEN


def _continued(
    request: ChatRequest,
    said: tuple[Part, ...],
    calls: Sequence[ToolCallPart],
    results: Sequence[ToolResultPart],
) -> ChatRequest:
    """Return the request for what follows the results."""
    before = tuple(request.messages)
    if request.continue_reply and not request.begun_thought:
        begun = before[-1]
        said = append_text(begun.content, "".join(each.text for each in said if isinstance(each, TextPart)))
        before = before[:-1]
    messages = (*before, Message("assistant", (*said, *calls)), Message("tool", tuple(results)))
    return replace(request, messages=messages, continue_reply=False, begun_thought="")


def _ids_in(messages: Sequence[Message]) -> set[str]:
    return {part.id for each in messages for part in each.content if isinstance(part, ToolCallPart)}


def _with_own_id(call: ToolCallPart, ids: set[str]) -> ToolCallPart:
    """Return the call with an id that no other call of the conversation has."""
    if not call.id or call.id in ids:
        call = replace(call, id=new_call_id())
    ids.add(call.id)
    return call


def call_as_dict(step: CallProgressed) -> dict[str, Any]:
    """Return an ended call as `--json` prints it."""
    assert step.result is not None
    text = "\n".join(part.text for part in step.result.content if isinstance(part, TextPart))
    arguments = as_object(step.call.arguments)
    return {
        "name": step.call.name,
        "arguments": step.call.arguments if arguments is None else arguments,
        "result": None if step.result.error else text,
        "error": text if step.result.error else None,
        "seconds": round(step.seconds, 3),
    }
