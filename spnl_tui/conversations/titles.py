"""Automatic titles."""

from __future__ import annotations

import re

from spnl_tui.conversations.attachments import words_of
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.models.request import Message, Sampling
from spnl_tui.text import first_line

LENGTH = 60
"""The longest automatic title, in characters."""
SAMPLING = Sampling(temperature=0, max_tokens=24)
"""The sampling for a title."""
_READ = 500
"""The characters of each turn that the model reads."""
_POLITENESS = re.compile(
    # A greeting only where a sentence begins after it: not that of "Hello world in C".
    r"^(?:(?:hi|hello|hey)(?: there)?(?:\s*[,!.:]+\s*|\s+(?=(?:please|can you|could you)\b))"
    r"|(?:please|can you|could you)(?=[\s,!.:])[\s,!.:]*)+",
    re.IGNORECASE,
)


def title_from_text(text: str) -> str:
    """Return a title from a prompt: its first line with words, without leading Markdown and politeness."""
    for line in text.splitlines():
        bare = re.sub(r"^(?:[\s#>*\-`~]|\d+[.)](?=\s))+", "", line)
        bare = _POLITENESS.sub("", bare)
        if re.search(r"\w", bare):
            bare = bare.strip(" \t*_`#:")
            return first_line(bare[:1].upper() + bare[1:], LENGTH)
    return first_line(text, LENGTH)


def title_of(conversation: Conversation) -> str:
    """Return a title from the first prompt of the conversation; empty if there is none."""
    return next(
        (
            title_from_text(words_of(turn))
            for turn in conversation.path()
            if turn.role == "user" and turn.text
        ),
        "",
    )


def title_request(conversation: Conversation) -> tuple[Message, ...] | None:
    """Return the request for a title by the model; None before the first reply has ended."""
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
    """Return the title in the model's reply; None if it holds none."""
    line = next((line for line in text.splitlines() if re.search(r"\w", line)), "")
    # A small model says "Title: …", or a whole sentence about the title.
    about = r"^\W*(?:title\W*:|(?:the|a|this) title\b[^\"“„«]*?\b(?:is|be|would be)\b[\s:,]*(?=[\"“„«*]))\W*"
    line = re.sub(about, "", line, flags=re.I).strip(" \t*_`#\"'“”„«».")
    if not line or len(line) > 2 * LENGTH or not re.search(r"\w", line):
        return None
    return first_line(line, LENGTH)
