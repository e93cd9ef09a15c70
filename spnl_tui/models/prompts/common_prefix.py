"""Compares the beginnings of two lists of messages. Standard library only, because the runner imports it."""

from __future__ import annotations

from collections.abc import Sequence

from spnl_tui.models.request import Message


def characters(messages: Sequence[Message]) -> int:
    """Return the total length of these messages."""
    return sum(len(message.model_text) for message in messages)


def common_messages(left: Sequence[Message], right: Sequence[Message]) -> int:
    """Return the number of equal messages at the beginning of both lists."""
    differing = (index for index, (a, b) in enumerate(zip(left, right, strict=False)) if a != b)
    return next(differing, min(len(left), len(right)))


def common_characters(left: Sequence[Message], right: Sequence[Message]) -> int:
    """Return the number of equal characters at the beginning of both lists."""
    common = 0
    for a, b in zip(left, right, strict=False):
        if a == b:
            common += len(a.model_text)
            continue
        if a.role == b.role:
            common += _common_length(a.model_text, b.model_text)
        break
    return common


def _common_length(left: str, right: str) -> int:
    """Return the length of the longest common prefix. Bisects, because texts may be megabytes long."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[:middle] == right[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
