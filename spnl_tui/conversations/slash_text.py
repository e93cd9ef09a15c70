"""Prompts that look like commands: "/rename A better title".

A prompt is a command if its first word is a "/" with a name after it: "?", or a letter and then letters,
digits and hyphens, up to a space or the end. "/etc/hosts is what?" is text, because a name contains no "/";
"/ 2" and "/2" are text, too. A "/" before a command makes it text: "//new" is sent as "/new".
"""

from __future__ import annotations

import re

_COMMAND = re.compile(r"/([A-Za-z][A-Za-z0-9-]*|\?)(?:\s+(.*))?", re.DOTALL)
AS_TEXT_HINT = "To send it as text, start with //."


def split_command(text: str) -> tuple[str, str] | None:
    """Return the lower-case name and the argument of a command; None if the text is not a command."""
    match = _COMMAND.fullmatch(text)
    return None if match is None else (match[1].lower(), (match[2] or "").strip())


def looks_like_command(text: str) -> bool:
    """Return True if the user meant a command, even if there is no such command."""
    return _COMMAND.fullmatch(text) is not None


def without_escape(text: str) -> str:
    """Return the text to send, without the "/" that escapes a command."""
    return text[1:] if text.startswith("//") and _names_command(text) else text


def with_escape(text: str) -> str:
    """Return the text that the user must type to send this text."""
    return f"/{text}" if text.startswith("/") and _names_command(text) else text


def _names_command(text: str) -> bool:
    """Return True for a command, with or without an escaping "/"."""
    return looks_like_command(f"/{text.lstrip('/')}")
