"""Reads a long prompt in steps. Standard library only, because the runner imports it.

mistral.rs neither reports the progress of a prefill nor lets it be stopped. But its prefix cache matches the
longest common prefix of tokens, so a prompt can be sent as a series of growing prefixes, each asking for one
token. Together they cost about as much as one prefill, and between two steps the runner can report progress
and stop. Each step leaves another copy of all keys and values so far in the cache until the process ends, so
memory limits the number of steps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from spnl_tui.engine.mistralrs.cache.cache_reuse import ask_again, times_asked
from spnl_tui.models.image_marks import without_partial_mark
from spnl_tui.models.parts import has_calls, is_plain
from spnl_tui.models.prompts.common_prefix import characters, common_characters, common_messages
from spnl_tui.models.request import Message

STEP_TOKENS = 512
"""The shortest step; it takes a few seconds at most."""


_SPARE = 256
"""Average unused room of a cached prefix, in tokens: mistral.rs grows its buffers by 512."""


_WORTH_VARYING = 400
"""The shortest repeated prompt to be marked so that the cache is used, in characters."""


class _Seen(NamedTuple):
    sent: tuple[Message, ...]
    asked: tuple[Message, ...]
    """The same messages as they are in the conversation; empty for a step of a prefill."""


class PrefixMemory:
    """The prompts that the prefix cache received lately. Thread-safe."""

    def __init__(self, size: int = 8) -> None:
        self._lock = threading.Lock()
        self._seen: deque[_Seen] = deque(maxlen=size)

    def known(self, messages: Sequence[Message]) -> int:
        """Return how many characters of these messages, as sent, the cache already holds."""
        with self._lock:
            return max((common_characters(messages, seen.sent) for seen in self._seen), default=0)

    def remember(self, sent: tuple[Message, ...], asked: tuple[Message, ...] = ()) -> None:
        """Record that the cache holds `sent`. `asked` are the same messages as they are in the
        conversation."""
        with self._lock:
            last = self._seen[-1].sent if self._seen else None
            if last is not None and common_characters(last, sent) == characters(last):
                self._seen.pop()  # this was a step towards the new messages
            self._seen.append(_Seen(sent, asked))

    def as_sent(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """Return the messages as the cache holds them, marked as a repetition if it holds them all."""
        with self._lock:
            seen = tuple(self._seen)
        count, alike, sent, times = len(messages), 0, messages, 0
        for each in seen:
            common = common_messages(each.asked, messages)
            if common > alike:
                alike, sent = common, (*each.sent[:common], *messages[common:])
            if common == count:
                times = max(times, 1 + times_asked(each.sent[count - 1]))
        # A short prompt is read quickly without the cache.
        if characters(messages) < _WORTH_VARYING or not is_plain(messages[-1].content):
            times = 0
        return ask_again((*sent[:-1], messages[-1]), times)


def prefill_steps(
    messages: tuple[Message, ...],
    counts: Sequence[int],
    known: int,
    *,
    room: int | None = None,
    step: int = STEP_TOKENS,
) -> Iterator[tuple[int, tuple[Message, ...]]]:
    """Yield the prefixes to send before the prompt, each with the number of tokens that it reaches.

    `counts` are the tokens of each message, `known` the characters that the cache already holds, `room` the
    tokens whose keys and values fit into memory. The last step is the prompt itself and is not yielded, so a
    prompt that takes one step yields nothing.
    """
    total = sum(counts)
    start = tokens_of(messages, counts, known)
    steps = max(0, (total - start - 1) // step)
    while steps and room is not None and prefill_tokens(start, total, steps) > room:
        steps -= 1
    for number in range(1, steps + 1):
        position = start + (total - start) * number // (steps + 1)
        yield position, _prefix(messages, counts, position)


def prefill_tokens(start: int, total: int, steps: int) -> int:
    """Return how many tokens' keys and values a prefill keeps if it takes this many steps before the last
    one.

    The prefixes end at equal distances between start and total, and each has unused room in its buffer. The
    whole prompt counts twice: in the cache and in working memory.
    """
    return steps * ((start + total) // 2 + _SPARE) + 2 * total


def _prefix(messages: tuple[Message, ...], counts: Sequence[int], tokens: int) -> tuple[Message, ...]:
    """Return the messages up to about this many tokens, cutting the last one."""
    for index, (message, count) in enumerate(zip(messages, counts, strict=True)):
        if tokens <= count and index and has_calls(message.content):
            return messages[:index]  # calls and results are never cut
        if tokens <= count:
            characters = len(message.model_text) * tokens // count if count else 0
            cut = without_partial_mark(message.model_text[:characters])
            return (*messages[:index], Message(message.role, cut))
        tokens -= count
    return messages


def tokens_of(messages: Sequence[Message], counts: Sequence[int], characters: int) -> int:
    """Return about how many tokens the first `characters` characters have."""
    tokens = 0
    for message, count in zip(messages, counts, strict=True):
        length = len(message.model_text)
        if characters <= length:
            return tokens + (count * characters // length if length else 0)
        tokens += count
        characters -= length
    return tokens
