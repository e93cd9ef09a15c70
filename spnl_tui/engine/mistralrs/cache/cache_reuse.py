"""Makes a repeated prompt reuse the prefix cache. Standard library only, because the runner imports it.

mistral.rs ignores a cache entry that holds the whole prompt, as it does after the first reply, and reads the
prompt again from its first token. So each repetition ends its last message with one more newline, which the
cache does not hold; only the newline and the tokens after it are read. It is sent as a mark, because the chat
template would trim a newline.
"""

from __future__ import annotations

from collections.abc import Sequence

from spnl_tui.models.request import Message

AGAIN = "\U0010fffd"
"""The mark: the last private-use code point, which is not in the texts of people and models."""


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
    """Return the content with the marks replaced by newlines."""
    return content.replace(AGAIN, "\n")
