"""Converts mistral.rs's chunks to the events of one reply. The runner uses it.

It joins chunks so that fewer events are sent, separates thoughts from text, cuts the text at stop sequences
(mistral.rs matches them only by whole tokens), and measures the timing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from spnl_tui.engine.backend import FinishReason, ReplyChunk, ReplyFinished, Timing, Usage
from spnl_tui.engine.mistralrs.continuation import Continuation
from spnl_tui.engine.mistralrs.runner.control_words import JOINER
from spnl_tui.engine.mistralrs.runner.stops import StopFilter
from spnl_tui.engine.mistralrs.runner.thoughts import Piece, Splitter
from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.tool_formats.splitter import CallSplitter

_WRITES_PER_SECOND = 20


class Followed(NamedTuple):
    """The end of a reply."""

    finished: ReplyFinished
    """The final event, which the caller still has to send."""
    text: str
    """All text after the thought, stop sequences included, as the prefix cache holds it."""


def drop_partial_character(text: str) -> str:
    """Return the last text of a reply cut off at max_tokens, without a partial character at its end.

    A token may hold part of an emoji. mistral.rs decodes such leftover bytes as U+FFFD.
    """
    return text.rstrip("\ufffd")


class _Plain:
    """Returns all text unchanged: a completion has neither thoughts nor an end of turn."""

    ended = False

    def feed(self, text: str) -> Piece:
        return Piece(text)

    def rest(self) -> Piece:
        return Piece()


def follow(
    open_stream: Callable[[], Iterator[Any]],
    send: Callable[[ReplyChunk], None],
    is_cancelled: Callable[[], bool],
    *,
    started: float,
    stop: Sequence[str] = (),
    ends: Sequence[str] = (),
    begun: Continuation | None = None,
    splitter: Splitter | None = None,
    calls: CallSplitter | None = None,
    count_prompt: Callable[[], int] = lambda: 0,
) -> Followed:
    """Stream a reply to `send`. Callers must not keep the stream, because only dropping it stops the
    decoding.

    `started` is the monotonic time when the prefill began. `stop` ends the text; `ends` (words of the
    template) end the text or the thought. `begun` is the reply to continue. `count_prompt` counts the
    prompt's tokens if the reply is cut before the engine reports them.
    """
    stream = open_stream()
    read: float | None = None  # when the prompt was read, which is when the first token arrived
    first: float | None = None
    written = 0.0
    text = reasoning = whole = ""
    tokens = sent = 0
    usage: Any = None
    reason: FinishReason = "stop"
    split = splitter or _Plain()
    stops, thought_stops = StopFilter((*stop, *ends)), StopFilter(ends)

    def add(piece: Piece) -> None:
        nonlocal text, reasoning, whole
        # Restore control words that the model repeats with a joiner.
        whole += piece.text
        shown = piece.text if calls is None else calls.feed(piece.text)
        text += stops.feed(shown.replace(JOINER, "") if splitter else shown)
        reasoning += thought_stops.feed(piece.thought.replace(JOINER, ""))
        if piece.text and not thought_stops.stopped:
            reasoning += thought_stops.rest()

    def chunk_so_far() -> ReplyChunk:
        return ReplyChunk(text=text, reasoning=reasoning, tokens=tokens)

    for chunk in stream:
        if is_cancelled():
            reason = "cancelled"
            break
        choice = chunk.choices[0]
        new = choice.delta.content or ""
        if choice.finish_reason == "length":
            reason = "length"
            new = drop_partial_character(new)
        add(split.feed(new if begun is None else begun.feed(new)))
        reasoning += choice.delta.reasoning_content or ""
        tokens += 1
        now = time.monotonic()
        if read is None:
            read = now
        if first is None and (text or reasoning):
            first = now
        usage = chunk.usage or usage
        if (text or reasoning) and now - written >= 1 / _WRITES_PER_SECOND:
            send(chunk_so_far())
            text = reasoning = ""
            written, sent = now, tokens
        if split.ended or stops.stopped or thought_stops.stopped or (calls is not None and calls.ended):
            reason = "stop"
            break
    if not (split.ended or stops.stopped or thought_stops.stopped):
        add(split.rest())
    called: tuple[ToolCallPart, ...] = ()
    if calls is not None and not stops.stopped:
        held, called = calls.finish()
        text += stops.feed(held.replace(JOINER, ""))
        called = tuple(replace(call, arguments=call.arguments.replace(JOINER, "")) for call in called)
    if reason == "cancelled":
        called = ()
    elif called:
        reason = "tool_calls"
    text += stops.rest()
    reasoning += thought_stops.rest()
    del stream
    ended = time.monotonic()
    if text or reasoning or called or sent < tokens:
        send(replace(chunk_so_far(), tool_calls=called))
    completed = usage.completion_tokens if usage else tokens
    decode_s = ended - read if read is not None else 0.0
    finished = ReplyFinished(
        finish_reason=reason,
        usage=Usage(
            prompt_tokens=usage.prompt_tokens if usage else count_prompt(), completion_tokens=completed
        ),
        timing=Timing(
            prefill_s=read - started if read is not None else None,
            ttft_s=first - started if first is not None else None,
            itl_s=decode_s / (completed - 1) if completed > 1 else None,
            decode_tokens_per_s=(completed - 1) / decode_s if completed > 1 and decode_s else None,
        ),
    )
    return Followed(finished, whole)
