"""How a long prompt is read in steps. Pure, standard library only: the runner uses it.

mistral.rs neither tells how far a prefill has come nor lets one stop it. But its prefix cache matches
the longest common prefix of tokens, so a prompt can be sent as a row of growing prefixes, each
asking for one token. The whole costs about what one prefill costs, and between two steps one can
report and stop. Each step leaves one more copy of all keys and values so far in the cache, for as long as the
process lives, so there are as few as memory asks for.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from spnl_tui.engine.mistralrs.cache_reuse import ask_again, times_asked
from spnl_tui.models.common_prefix import characters, common_characters, common_messages
from spnl_tui.models.request import Message

STEP_TOKENS = 512
"""The shortest step: short enough that it takes seconds at most."""


_SPARE = 256
"""Tokens for which there is room in a cached prefix that has none: mistral.rs grows them by 512."""


_WORTH_VARYING = 400
"""Characters from which on a prompt that is asked again is sent so that it need not be read anew."""


class _Seen(NamedTuple):
    sent: tuple[Message, ...]
    asked: tuple[Message, ...]
    """The same as the conversation has it; empty for a step of a prefill."""


class PrefixMemory:
    """The prompts that the prefix cache has seen lately. Several threads may remember at once."""

    def __init__(self, size: int = 8) -> None:
        self._lock = threading.Lock()
        self._seen: deque[_Seen] = deque(maxlen=size)

    def known(self, messages: Sequence[Message]) -> int:
        """How many characters of these messages, as they are sent, the cache holds already."""
        with self._lock:
            return max((common_characters(messages, seen.sent) for seen in self._seen), default=0)

    def remember(self, sent: tuple[Message, ...], asked: tuple[Message, ...] = ()) -> None:
        """These messages are in the cache from now on. `asked`: a conversation that goes on has them so."""
        with self._lock:
            last = self._seen[-1].sent if self._seen else None
            if last is not None and common_characters(last, sent) == characters(last):
                self._seen.pop()  # a step towards these
            self._seen.append(_Seen(sent, asked))

    def as_sent(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """How to send these messages so that the cache is of use: as it has them, unless it has them all."""
        with self._lock:
            seen = tuple(self._seen)
        count, alike, sent, times = len(messages), 0, messages, 0
        for each in seen:
            common = common_messages(each.asked, messages)
            if common > alike:
                alike, sent = common, (*each.sent[:common], *messages[common:])
            if common == count:
                times = max(times, 1 + times_asked(each.sent[count - 1]))
        # What is read soon anyway is sent as it is.
        if characters(messages) < _WORTH_VARYING:
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
    """The prefixes to send before the prompt itself, each with how many tokens are then read.

    `counts` are the tokens of each message, `known` the characters that the cache holds already, `room` the
    tokens that there is memory for. Nothing is yielded for a prompt with no more than one step to read: the
    last step is always the prompt itself.
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
    """The tokens whose keys and values are kept in the end by so many steps before the last one.

    That is those of all prefixes, which end at even distances between start and total, with what their
    buffers have to spare, and those of the prompt, in the cache and to work on.
    """
    return steps * ((start + total) // 2 + _SPARE) + 2 * total


def _prefix(messages: tuple[Message, ...], counts: Sequence[int], tokens: int) -> tuple[Message, ...]:
    """The first messages, the last of them cut, holding about this many tokens."""
    for index, (message, count) in enumerate(zip(messages, counts, strict=True)):
        if tokens <= count:
            characters = len(message.model_text) * tokens // count if count else 0
            return (*messages[:index], Message(message.role, message.model_text[:characters]))
        tokens -= count
    return messages


def tokens_of(messages: Sequence[Message], counts: Sequence[int], characters: int) -> int:
    """About how many tokens the first `characters` characters are."""
    tokens = 0
    for message, count in zip(messages, counts, strict=True):
        length = len(message.model_text)
        if characters <= length:
            return tokens + (count * characters // length if length else 0)
        tokens += count
        characters -= length
    return tokens
