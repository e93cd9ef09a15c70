"""Reads conversations from Markdown with headings that name the speakers, with or without our front
matter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.readers.messages import (
    PORTABLE,
    Said,
    as_list,
    as_text,
    conversation_of,
    digest_of,
    role_of,
    text_parts,
    time_of,
)
from spnl_tui.front_matter import split_front_matter

_NAMES = {"you": "user", "me": "user", "prompt": "user", "response": "assistant", "chatgpt": "assistant"}
_HEADING = re.compile(
    r"(?:#{1,6}\s+|\*\*)\W*(?P<name>[A-Za-z]+)(?:\s+\((?P<model>[^()]*)\))?"
    r"(?:, (?P<place>\d+) of \d+)?\W*"
)
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
_THOUGHT = re.compile(r"<details>\n<summary>Thinking</summary>\n\n(.*?)\n\n</details>\n*", re.DOTALL)


def looks_like_markdown(text: str) -> bool:
    """Return True if a heading names the user or a model."""
    return any(speaker is not None for speaker, _ in _sections(text))


def read_markdown(text: str, name: str) -> Conversation | None:
    """Return the conversation in this text; None if there is none. Siblings are read as consecutive turns.

    `name` identifies the conversation if it has no id.
    """
    details, body = split_front_matter(text)
    said = []
    for speaker, lines in _sections(body):
        if speaker is not None:
            words = "\n".join(lines).strip("\n")
            thought = _THOUGHT.match(words)
            words = words[thought.end() :] if thought else words
            said.append(Said(speaker[0], text_parts(words), thought[1] if thought else "", model=speaker[1]))
    own = as_text(details.get("id"))
    return conversation_of(
        PORTABLE,
        own or digest_of([as_text(details.get("title")) or name, [str(each.parts) for each in said[:2]]]),
        said,
        title=as_text(details.get("title")) or name,
        system=as_text(details.get("system_prompt")),
        model=details.get("model"),
        created_at=_time(details.get("created")),
        updated_at=_time(details.get("updated")),
        tags=as_list(details.get("tags")),
    )


def _time(value: Any) -> float | None:
    return time_of(value.isoformat() if hasattr(value, "isoformat") else value)


def _sections(text: str) -> Iterator[tuple[tuple[str, str] | None, list[str]]]:
    """Yield each section with the role and model in its heading; None before the first heading."""
    speaker: tuple[str, str] | None = None
    lines: list[str] = []
    fence = ""
    for line in text.splitlines():
        if (mark := _FENCE.match(line)) is not None:
            if not fence:
                fence = mark[1]
            elif mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        heading = None if fence else _HEADING.fullmatch(line.strip())
        name = heading["name"].lower() if heading else ""
        role = (_NAMES.get(name) or role_of(name)) if heading else None
        if heading is None or role is None or role == "tool":
            lines.append(line)
            continue
        yield speaker, lines
        speaker, lines = (role, (heading["model"] or "").strip()), []
    yield speaker, lines
