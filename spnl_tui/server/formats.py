"""Replies in the shapes of OpenAI's API: whole objects, and the chunks of a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from spnl_tui.engine.backend import ReplyChunk, ReplyFinished, Usage
from spnl_tui.engine.reply import Reply, ReplyEnd
from spnl_tui.models.parts import ToolCallPart


class Format(Protocol):
    """Writes replies of one endpoint."""

    def whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """Return the body with all replies, complete."""

    def beginning(self, candidate: int) -> dict[str, Any] | None:
        """Return the chunk before the first text of a reply, if there is one."""

    def piece(self, chunk: ReplyChunk) -> dict[str, Any] | None:
        """Return the chunk with more of a reply; None if it adds nothing that clients see."""

    def end(self, finished: ReplyFinished) -> dict[str, Any]:
        """Return the last chunk of a reply."""

    def usage(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """Return the chunk with the usage of all replies."""


@dataclass(slots=True)
class ChatFormat:
    """Writes the replies of /v1/chat/completions."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    _calls: dict[int, int] = field(default_factory=dict)
    """Calls sent so far, by candidate."""

    def whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """Return the body with all replies, complete."""
        choices = [
            {
                "index": index,
                "message": _message(reply),
                "logprobs": None,
                "finish_reason": _reason(reply.finish_reason),
            }
            for index, reply in enumerate(replies)
        ]
        return {**self._head("chat.completion"), "choices": choices, "usage": usage_of(replies)}

    def beginning(self, candidate: int) -> dict[str, Any]:
        """Return the chunk with the role."""
        return self._chunk(candidate, {"role": "assistant", "content": ""})

    def piece(self, chunk: ReplyChunk) -> dict[str, Any] | None:
        """Return the chunk with more of a reply; None if it adds nothing."""
        delta: dict[str, Any] = {}
        if chunk.text:
            delta["content"] = chunk.text
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.tool_calls:
            first = self._calls.get(chunk.candidate, 0)
            self._calls[chunk.candidate] = first + len(chunk.tool_calls)
            delta["tool_calls"] = [
                {"index": index, **_call(call)} for index, call in enumerate(chunk.tool_calls, first)
            ]
        return self._chunk(chunk.candidate, delta) if delta else None

    def end(self, finished: ReplyFinished) -> dict[str, Any]:
        """Return the last chunk of a reply."""
        return self._chunk(finished.candidate, {}, _reason(finished.finish_reason))

    def usage(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """Return the chunk with the usage of all replies."""
        return {**self._head("chat.completion.chunk"), "choices": [], "usage": usage_of(replies)}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}


@dataclass(slots=True)
class CompletionFormat:
    """Writes the replies of /v1/completions."""

    model: str
    prefixes: tuple[str, ...] = ()
    """The beginning of each reply; empty for none."""
    id: str = field(default_factory=lambda: f"cmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """Return the body with all replies, complete."""
        choices = [
            _text_choice(index, self._prefix(index) + reply.text, _reason(reply.finish_reason))
            for index, reply in enumerate(replies)
        ]
        # Each completion reads a prompt of its own.
        return {**self._head(), "choices": choices, "usage": usage_of(replies, shared_prompt=False)}

    def beginning(self, candidate: int) -> dict[str, Any] | None:
        """Return the chunk with the prompt, if it is echoed."""
        return self._chunk(candidate, self._prefix(candidate)) if self._prefix(candidate) else None

    def piece(self, chunk: ReplyChunk) -> dict[str, Any] | None:
        """Return the chunk with more of a reply; None if it adds nothing."""
        return self._chunk(chunk.candidate, chunk.text) if chunk.text else None

    def end(self, finished: ReplyFinished) -> dict[str, Any]:
        """Return the last chunk of a reply."""
        return self._chunk(finished.candidate, "", _reason(finished.finish_reason))

    def usage(self, replies: Sequence[Reply]) -> dict[str, Any]:
        """Return the chunk with the usage of all replies."""
        return {**self._head(), "choices": [], "usage": usage_of(replies, shared_prompt=False)}

    def _prefix(self, index: int) -> str:
        return self.prefixes[index] if self.prefixes else ""

    def _head(self) -> dict[str, Any]:
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": self.model}

    def _chunk(self, index: int, text: str, reason: str | None = None) -> dict[str, Any]:
        return {**self._head(), "choices": [_text_choice(index, text, reason)]}


def usage_of(replies: Iterable[Reply], *, shared_prompt: bool = True) -> dict[str, int]:
    """Return the tokens of all replies; a prompt that they share counts once."""
    usages = [reply.usage or Usage() for reply in replies]
    prompts = [usage.prompt_tokens for usage in usages]
    prompt = max(prompts, default=0) if shared_prompt else sum(prompts)
    completion = sum(usage.completion_tokens for usage in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _text_choice(index: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def _message(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["content"] = reply.text or None
        message["tool_calls"] = [_call(call) for call in reply.tool_calls]
    return message


def _call(call: ToolCallPart) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _reason(reason: ReplyEnd | None) -> str:
    return reason if reason in ("length", "tool_calls") else "stop"
