"""Reading a long prompt in steps. Pure, standard library only: the runner uses it.

mistral.rs neither reports the progress of a prefill nor lets it be stopped. But its prefix cache matches the
longest common prefix of tokens, so a prompt can be sent as a series of growing prefixes, each asking for one
token. Together they cost about as much as one prefill, and between two steps the runner can report progress
and stop. Each step leaves one more copy of all keys and values so far in the cache for the life of the
process, so there are only as many steps as memory allows.
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
"""The shortest step: it takes seconds at most."""


_SPARE = 256
"""Average free room of a cached prefix in tokens: mistral.rs grows them by 512."""


_WORTH_VARYING = 400
"""The shortest repeated prompt, in characters, that is marked so that the cache can be used."""


class _Seen(NamedTuple):
    sent: tuple[Message, ...]
    asked: tuple[Message, ...]
    """The same messages as the conversation has them; empty for a step of a prefill."""


class PrefixMemory:
    """The prompts that the prefix cache has seen lately. Safe to use from several threads."""

    def __init__(self, size: int = 8) -> None:
        self._lock = threading.Lock()
        self._seen: deque[_Seen] = deque(maxlen=size)

    def known(self, messages: Sequence[Message]) -> int:
        """Return how many characters of these messages, as sent, the cache holds already."""
        with self._lock:
            return max((common_characters(messages, seen.sent) for seen in self._seen), default=0)

    def remember(self, sent: tuple[Message, ...], asked: tuple[Message, ...] = ()) -> None:
        """Record that the cache holds these messages. `asked` are the same as the conversation has them."""
        with self._lock:
            last = self._seen[-1].sent if self._seen else None
            if last is not None and common_characters(last, sent) == characters(last):
                self._seen.pop()  # a step towards these
            self._seen.append(_Seen(sent, asked))

    def as_sent(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """Return the messages as the cache has them, or marked as a repetition if it holds them all."""
        with self._lock:
            seen = tuple(self._seen)
        count, alike, sent, times = len(messages), 0, messages, 0
        for each in seen:
            common = common_messages(each.asked, messages)
            if common > alike:
                alike, sent = common, (*each.sent[:common], *messages[common:])
            if common == count:
                times = max(times, 1 + times_asked(each.sent[count - 1]))
        # A short prompt is read fast in any case.
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
    """Yield the prefixes to send before the prompt itself, each with the number of tokens read by then.

    `counts` are the tokens of each message, `known` the characters that the cache holds already, `room` the
    tokens that memory allows. The last step is always the prompt itself, so a prompt with no more than one
    step to read yields nothing.
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
    """Return the tokens whose keys and values are kept after so many steps before the last one.

    These are the tokens of all prefixes, which end at even distances between start and total, with the free
    room of their buffers, and those of the prompt, once in the cache and once as working memory.
    """
    return steps * ((start + total) // 2 + _SPARE) + 2 * total


def _prefix(messages: tuple[Message, ...], counts: Sequence[int], tokens: int) -> tuple[Message, ...]:
    """Return the first messages with about this many tokens; the last of them is cut."""
    for index, (message, count) in enumerate(zip(messages, counts, strict=True)):
        if tokens <= count and index and has_calls(message.content):
            return messages[:index]  # a call or a result is read as a whole
        if tokens <= count:
            characters = len(message.model_text) * tokens // count if count else 0
            cut = without_partial_mark(message.model_text[:characters])
            return (*messages[:index], Message(message.role, cut))
        tokens -= count
    return messages


def tokens_of(messages: Sequence[Message], counts: Sequence[int], characters: int) -> int:
    """Return about how many tokens the first `characters` characters are."""
    tokens = 0
    for message, count in zip(messages, counts, strict=True):
        length = len(message.model_text)
        if characters <= length:
            return tokens + (count * characters // length if length else 0)
        tokens += count
        characters -= length
    return tokens
