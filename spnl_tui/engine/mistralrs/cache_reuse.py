"""A prompt that is asked again. Pure, standard library only: the runner uses it.

mistral.rs leaves a prefix cache unused that holds all of a prompt, as it does once that has been answered:
asked again, the prompt would be read anew from its first token. So each time but the first its last message
ends with one newline more, which the cache does not hold, and only what follows is read. It is sent as a
mark, which the chat template as mistral.rs is given it (continuing.py) turns into a newline after trimming.
"""

from __future__ import annotations

from collections.abc import Sequence

from spnl_tui.models.request import Message

AGAIN = "\U0010fffd"
"""The last code point for private use: no text has it that a person wrote or a model made."""


def ask_again(messages: Sequence[Message], times: int) -> tuple[Message, ...]:
    """The same prompt, for the so manyth time after the first."""
    *before, last = messages
    return (*before, Message(last.role, last.model_text + AGAIN * times))


def times_asked(message: Message) -> int:
    """For the how manyth time after the first this message is sent."""
    return message.model_text.count(AGAIN)


def as_read(content: str) -> str:
    """What the model is given of the content of a message."""
    return content.replace(AGAIN, "\n")
