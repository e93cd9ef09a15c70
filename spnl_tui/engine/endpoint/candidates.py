"""Converts the pieces of a stream to events of the engine, for each candidate."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from spnl_tui.engine.backend import (
    Event,
    FinishReason,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
    Timing,
    Usage,
)
from spnl_tui.models.parts import ToolCallPart

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_OPEN, _CLOSE = "<think>", "</think>"


class ThoughtSplitter:
    """Separates a thought between <think> and </think> from the text, for servers that do not."""

    def __init__(self) -> None:
        self._state = "begin"
        self._held = ""

    def split(self, text: str) -> tuple[str, str]:
        """Return the new text and the new part of the thought."""
        if self._state == "text":
            return text, ""
        self._held += text
        if self._state == "begin":
            start = self._held.lstrip()
            if _OPEN.startswith(start[: len(_OPEN)]) and len(start) < len(_OPEN):
                return "", ""
            if not start.startswith(_OPEN):
                return self._end()
            self._state, self._held = "thought", start[len(_OPEN) :].lstrip("\n")
        thought, closed, rest = self._held.partition(_CLOSE)
        if closed:
            self._state, self._held = "text", ""
            return rest.lstrip("\n"), thought
        keep = next((size for size in range(len(_CLOSE) - 1, 0, -1) if thought.endswith(_CLOSE[:size])), 0)
        self._held = thought[len(thought) - keep :]
        return "", thought[: len(thought) - keep]

    def finish(self) -> tuple[str, str]:
        """Return the text and the thought that were held back."""
        if self._state == "thought":
            return "", self._held
        return self._end()

    def _end(self) -> tuple[str, str]:
        held, self._held, self._state = self._held, "", "text"
        return held, ""


class Candidate:
    """One reply of a stream."""

    def __init__(self, number: int, admitted_at: float, queue_s: float = 0.0) -> None:
        """`number` is the candidate's number in its request; `admitted_at` is a monotonic time in seconds."""
        self.number = number
        self.reason: str | None = None
        """The server's reason for the end of the reply; None before the end."""
        self._admitted_at = admitted_at
        self._queue_s = queue_s
        self._first_at: float | None = None
        self._last_at = admitted_at
        self._tokens = 0
        self._thoughts = ThoughtSplitter()
        self._calls: dict[int, dict[str, str]] = {}

    @property
    def begun(self) -> bool:
        """True if part of the reply has arrived."""
        return self._first_at is not None

    def take(self, choice: dict[str, Any]) -> ReplyChunk | None:
        """Return the chunk that this piece adds to the reply; None if it adds nothing."""
        if isinstance(reason := choice.get("finish_reason"), str):
            self.reason = reason
        delta = choice.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        content = _text(choice.get("text")) or _text(delta.get("content")) or _text(delta.get("refusal"))
        reasoning = next(
            (
                text
                for key in ("reasoning_content", "reasoning", "thinking")
                if (text := _text(delta.get(key)))
            ),
            "",
        )
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._take_call(call)
        if not (content or reasoning or calls):
            return None
        self._last_at = time.monotonic()
        self._first_at = self._first_at or self._last_at
        self._tokens += 1
        text, thought = self._thoughts.split(content) if content else ("", "")
        if not (text or thought or reasoning):
            return None
        return ReplyChunk(
            text=text, reasoning=reasoning + thought, tokens=self._tokens, candidate=self.number
        )

    def _take_call(self, piece: Any) -> None:
        if not isinstance(piece, dict):
            return
        index = piece.get("index")
        if not isinstance(index, int):
            index = len(self._calls)
        call = self._calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        call["id"] = call["id"] or _text(piece.get("id"))
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        name = _text(function.get("name"))
        if name != call["name"]:
            call["name"] += name
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments, ensure_ascii=False)
        call["arguments"] += _text(arguments)

    def end(self, usage: Usage | None) -> Iterator[Event]:
        """Yield the text that was held back, then the final event. `usage` is None if the server reported
        none."""
        yield from self._held()
        if self.reason in ("content_filter", "error", "abort", "SAFETY"):
            yield RequestFailed(
                kind="request",
                title="The server withheld the rest of the reply"
                if self.reason in ("content_filter", "SAFETY")
                else "The server ended the reply",
                message=f"It gave this reason: {self.reason}.",
                hint="Rephrase the prompt." if self.reason != "error" else "Send again.",
                candidate=self.number,
            )
            return
        reason = "tool_calls" if self._calls else _REASONS.get(self.reason or "stop", "stop")
        yield self._finished(reason, usage)

    def cancelled(self) -> ReplyFinished:
        """Return the final event of a cancelled reply."""
        return self._finished("cancelled", None)

    def _held(self) -> Iterator[ReplyChunk]:
        text, thought = self._thoughts.finish()
        calls = tuple(
            ToolCallPart(
                call["id"] or f"call_{secrets.token_hex(6)}", call["name"], call["arguments"] or "{}"
            )
            for _, call in sorted(self._calls.items())
        )
        if text or thought or calls:
            yield ReplyChunk(
                text=text, reasoning=thought, tool_calls=calls, tokens=self._tokens, candidate=self.number
            )

    def _finished(self, reason: FinishReason, usage: Usage | None) -> ReplyFinished:
        tokens = usage.completion_tokens if usage and usage.completion_tokens else self._tokens
        seconds = self._last_at - self._first_at if self._first_at is not None else 0.0
        decoded = tokens - 1
        ttft_s = None if self._first_at is None else self._first_at - self._admitted_at
        return ReplyFinished(
            finish_reason=reason,
            usage=Usage(prompt_tokens=usage.prompt_tokens if usage else 0, completion_tokens=tokens),
            timing=Timing(
                queue_s=self._queue_s,
                prefill_s=ttft_s,
                ttft_s=ttft_s,
                itl_s=seconds / decoded if decoded > 0 and seconds > 0 else None,
                decode_tokens_per_s=decoded / seconds if decoded > 0 and seconds > 0 else None,
            ),
            candidate=self.number,
        )


def usage_of(value: Any) -> Usage | None:
    """Return the usage that a server reported; None if the value is not valid."""
    if not isinstance(value, dict):
        return None
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int | None):
        return None
    return Usage(prompt_tokens=prompt, completion_tokens=completion or 0)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
