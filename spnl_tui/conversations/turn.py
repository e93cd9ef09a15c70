"""Turns: a prompt or a reply, where it came from, and the messages made of it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from spnl_tui.models.parts import (
    NO_RESULT,
    Content,
    Part,
    ToolCallPart,
    ToolResultPart,
    as_text,
    has_calls,
    join,
    text_of,
    unanswered_calls,
    with_text,
)
from spnl_tui.models.request import Grammar, Message, Role, Sampling

FinishReason: TypeAlias = Literal["stop", "length", "cancelled", "failed"]
FINISH_REASONS = (None, *get_args(FinishReason))
"""Every finish reason that a turn can have."""


def new_id() -> str:
    """Return a new id: 24 hexadecimal digits that begin with the time in nanoseconds, so that ids sort."""
    return f"{time.time_ns():016x}{os.urandom(4).hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The origin of a reply: enough to repeat the request and to know how fast it was.

    Together with the turns above the reply, `system_prompt`, `left_out` and `summary` give the messages
    that were sent; `prompt_sha256` tells whether they still are the same.
    """

    model: str = ""
    """The canonical model reference, as the user sees it."""
    revision: str | None = None
    file_sha256: str | None = None
    """The hash of the model's file; for shards, their hashes joined by spaces."""
    engine_version: str | None = None
    load_plan: str = ""
    """The load plan of the model, as JSON."""
    sampling: Sampling | None = None
    thinking: bool | None = None
    grammar: Grammar | None = None
    system_prompt: str = ""
    left_out: tuple[str, ...] = ()
    """Ids of the turns above that were not sent because the context was full."""
    summary: str = ""
    """The summary that was sent for the omitted turns."""
    begun: int = 0
    """The characters at the beginning of the text that the model continued."""
    prompt_sha256: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    ttft_s: float | None = None
    itl_s: float | None = None
    decode_tokens_per_s: float | None = None
    started_at: float | None = None
    """Unix seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A prompt or a reply."""

    id: str
    parent: str | None
    """The id of the turn that this one answers or follows; None for the first."""
    role: Role
    content: Content = ()
    reasoning: str = ""
    finish_reason: FinishReason | None = None
    """Why a reply ended. None for a prompt, and for a reply that is still being written."""
    error: str = ""
    """The error if the reply failed, or the reason why the program stopped it."""
    provenance: Provenance | None = None
    created_at: float = 0.0
    """Unix seconds."""
    pinned: bool = False
    """A pinned turn is sent even when the context is full."""

    @property
    def text(self) -> str:
        """The text parts, with an empty line between them."""
        return text_of(self.content)

    @property
    def model_text(self) -> str:
        """All that a model reads of the content, as text."""
        return as_text(self.content)

    def with_text(self, text: str) -> Turn:
        """Return the turn with another text; its other parts stay."""
        return replace(self, content=with_text(self.content, text))

    @property
    def streaming(self) -> bool:
        """True if this is a reply that has not ended yet."""
        return self.role == "assistant" and self.finish_reason is None


def as_messages(system_prompt: str, turns: Iterable[Turn]) -> tuple[Message, ...]:
    """Return the messages of a request: the system prompt, if there is one, and then the turns.

    Empty turns, such as a reply that failed before its first word, are left out. Turns of one role that
    then follow each other are joined by an empty line, since many chat templates refuse them.
    """
    messages = [Message("system", system_prompt)] if system_prompt.strip() else []
    for turn in turns:
        if not turn.model_text.strip():
            continue
        if turn.role == "assistant" and has_calls(turn.content):
            messages += _rounds(turn.content)
            continue
        if messages and messages[-1].role == turn.role != "system":
            messages[-1] = Message(turn.role, join(messages[-1].content, turn.content))
        else:
            messages.append(Message(turn.role, turn.content))
    return tuple(messages)


def _rounds(content: Content) -> list[Message]:
    """Return a reply with calls as messages: text and calls, then their results, then the rest.

    Every call gets a result: templates and servers refuse one without.
    """
    rounds: list[tuple[list[Part], list[Part]]] = [([], [])]
    for part in content:
        said, results = rounds[-1]
        if isinstance(part, ToolResultPart):
            results.append(part)
        elif results:
            rounds.append(([part], []))
        else:
            said.append(part)
    missing = {call.id for call in unanswered_calls(content)}
    messages: list[Message] = []
    for said, results in rounds:
        calls = [part for part in said if isinstance(part, ToolCallPart)]
        results += [ToolResultPart(call.id, NO_RESULT, True) for call in calls if call.id in missing]
        if said:
            messages.append(Message("assistant", said))
        if results:
            messages.append(Message("tool", results))
    return messages
