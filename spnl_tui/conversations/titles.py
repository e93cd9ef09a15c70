"""Titles that nobody had to think of."""

from __future__ import annotations

import re

from spnl_tui.conversations.attachments import words_of
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.models.request import Message, Sampling
from spnl_tui.text import first_line

LENGTH = 60
"""The longest automatic title, in characters."""
SAMPLING = Sampling(temperature=0, max_tokens=24)
"""How to have the model write one."""
_READ = 500
"""Characters of each turn that the model is shown."""
_POLITENESS = re.compile(
    # A greeting only where a sentence begins after it: not that of "Hello world in C".
    r"^(?:(?:hi|hello|hey)(?: there)?(?:\s*[,!.:]+\s*|\s+(?=(?:please|can you|could you)\b))"
    r"|(?:please|can you|could you)(?=[\s,!.:])[\s,!.:]*)+",
    re.IGNORECASE,
)


def title_from_text(text: str) -> str:
    """A title from a prompt: its first line with words, without Markdown and politeness before it."""
    for line in text.splitlines():
        bare = re.sub(r"^(?:[\s#>*\-`~]|\d+[.)](?=\s))+", "", line)
        bare = _POLITENESS.sub("", bare)
        if re.search(r"\w", bare):
            bare = bare.strip(" \t*_`#:")
            return first_line(bare[:1].upper() + bare[1:], LENGTH)
    return first_line(text, LENGTH)


def title_of(conversation: Conversation) -> str:
    """An automatic title for this conversation, from its first prompt; empty if there is none."""
    return next(
        (
            title_from_text(words_of(turn))
            for turn in conversation.path()
            if turn.role == "user" and turn.text
        ),
        "",
    )


def title_request(conversation: Conversation) -> tuple[Message, ...] | None:
    """The request that has the model name this conversation; None before the first exchange is over."""
    turns = [turn for turn in conversation.path()[:2] if turn.text.strip()]
    if len(turns) < 2 or turns[1].streaming:
        return None
    prompt, reply = (words_of(turn).strip()[:_READ] for turn in turns)
    return (
        Message(
            "user",
            "Give this conversation a title of two to six words, in its own language. Answer with the title "
            f"only, without quotation marks.\n\nUser: {prompt}\n\nAssistant: {reply}\n\nTitle:",
        ),
    )


def title_from_reply(text: str) -> str | None:
    """The title in what the model answered; None if it is none."""
    line = next((line for line in text.splitlines() if re.search(r"\w", line)), "")
    # A small model says "Title: …", or a whole sentence about the title.
    about = r"^\W*(?:title\W*:|(?:the|a|this) title\b[^\"“„«]*?\b(?:is|be|would be)\b[\s:,]*(?=[\"“„«*]))\W*"
    line = re.sub(about, "", line, flags=re.I).strip(" \t*_`#\"'“”„«».")
    if not line or len(line) > 2 * LENGTH or not re.search(r"\w", line):
        return None
    return first_line(line, LENGTH)
