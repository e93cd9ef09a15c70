"""Repeated prompts. Pure, standard library only: the runner uses it.

mistral.rs does not use a prefix cache that holds all of a prompt, as it does once the prompt was answered.
A repeated prompt would be read again from its first token. So each repetition ends its last message with one
more newline, which the cache does not hold, and only what follows is read. The newline is sent as a mark,
which is replaced after the chat template has trimmed the message.
"""

from __future__ import annotations

from collections.abc import Sequence

from spnl_tui.models.request import Message

AGAIN = "\U0010fffd"
"""The last code point for private use: texts of people and models do not contain it."""


def ask_again(messages: Sequence[Message], times: int) -> tuple[Message, ...]:
    """Return the same prompt, marked as its repetition number `times`. Its last message must be a text."""
    *before, last = messages
    if not times:
        return tuple(messages)
    return (*before, Message(last.role, last.model_text + AGAIN * times))


def times_asked(message: Message) -> int:
    """Return the number of the repetition that this message is part of; 0 for the first time."""
    return message.model_text.count(AGAIN)


def as_read(content: str) -> str:
    """Return the content as the model reads it."""
    return content.replace(AGAIN, "\n")
