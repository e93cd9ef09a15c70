"""The reason why a file cannot be converted."""

from __future__ import annotations


class Refusal(Exception):
    """The file cannot be converted, in words for the user."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
