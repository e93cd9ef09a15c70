"""How a long prompt is read in steps. Pure, standard library only: the runner uses it.

mistral.rs neither tells how far a prefill has come nor lets one stop it. But its prefix cache matches
the longest common prefix of tokens, so a prompt can be sent as a row of growing prefixes, each
asking for one token. The whole costs about what one prefill costs, and between two steps one can
report and stop. Each step leaves one more copy of its keys and values in the cache, so steps are few.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from spnl_tui.models.request import Message

STEP_TOKENS = 512
"""Long enough that few copies stay in the cache, short enough that a step takes seconds at most."""


class PrefixMemory:
    """The prompts that the prefix cache has seen lately."""

    def __init__(self, size: int = 8) -> None:
        self._seen: deque[tuple[Message, ...]] = deque(maxlen=size)

    def known(self, messages: Sequence[Message]) -> int:
        """How many characters of these messages the cache holds already."""
        return max((_common_characters(messages, seen) for seen in self._seen), default=0)

    def remember(self, messages: tuple[Message, ...]) -> None:
        """These messages are about to be in the cache."""
        self._seen.append(messages)


def prefill_steps(
    messages: tuple[Message, ...], counts: Sequence[int], known: int, step: int = STEP_TOKENS
) -> Iterator[tuple[int, tuple[Message, ...]]]:
    """The prefixes to send before the prompt itself, each with how many tokens are then read.

    `counts` are the tokens of each message, `known` the characters that the cache holds already. Nothing is
    yielded for a prompt with no more than one step to read: the last step is always the prompt itself.
    """
    total = sum(counts)
    position = _tokens_of(messages, counts, known)
    while total - position > step:
        position += step
        yield position, _prefix(messages, counts, position)


def _prefix(messages: tuple[Message, ...], counts: Sequence[int], tokens: int) -> tuple[Message, ...]:
    """The first messages, the last of them cut, holding about this many tokens."""
    for index, (message, count) in enumerate(zip(messages, counts, strict=True)):
        if tokens <= count:
            characters = len(message.content) * tokens // count if count else 0
            return (*messages[:index], replace(message, content=message.content[:characters]))
        tokens -= count
    return messages


def _tokens_of(messages: Sequence[Message], counts: Sequence[int], characters: int) -> int:
    """About how many tokens the first `characters` characters are."""
    tokens = 0
    for message, count in zip(messages, counts, strict=True):
        length = len(message.content)
        if characters <= length:
            return tokens + (count * characters // length if length else 0)
        tokens += count
        characters -= length
    return tokens


def _common_characters(left: Sequence[Message], right: Sequence[Message]) -> int:
    common = 0
    for a, b in zip(left, right, strict=False):
        if a == b:
            common += len(a.content)
            continue
        if a.role == b.role:
            common += _common_length(a.content, b.content)
        break
    return common


def _common_length(left: str, right: str) -> int:
    """The length of the longest common prefix, by halving: texts may be megabytes."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[:middle] == right[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
