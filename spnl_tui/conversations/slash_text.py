"""Prompts that look like commands: "/rename A better title".

A prompt is a command when its first word is a "/" with a name after it: "?", or a letter and then letters,
digits and hyphens, up to a space or the end. "/etc/hosts is what?" is text, because a name contains no "/";
"/ 2" and "/2" are text, too. A "/" before a command makes it text: "//new" is sent as "/new".
"""

from __future__ import annotations

import re

_COMMAND = re.compile(r"/([A-Za-z][A-Za-z0-9-]*|\?)(?:\s+(.*))?", re.DOTALL)
AS_TEXT_HINT = "To send it as text, start with //."


def split_command(text: str) -> tuple[str, str] | None:
    """Return the name, in lower case, and the argument of a command; None if this is text."""
    match = _COMMAND.fullmatch(text)
    return None if match is None else (match[1].lower(), (match[2] or "").strip())


def looks_like_command(text: str) -> bool:
    """Return True if a prompt is meant as a command, whether such a command exists or not."""
    return _COMMAND.fullmatch(text) is not None


def without_escape(text: str) -> str:
    """Return a prompt that is text as it is sent: without the "/" that makes it text."""
    return text[1:] if text.startswith("//") and _names_command(text) else text


def with_escape(text: str) -> str:
    """Return what to type to send this text."""
    return f"/{text}" if text.startswith("/") and _names_command(text) else text


def _names_command(text: str) -> bool:
    """Return True for a command, and for one that an additional "/" makes text."""
    return looks_like_command(f"/{text.lstrip('/')}")
