"""A reply that resumes where it stopped. Pure: the runner uses it.

mistral.rs strips the white space before the first token of a reply. To show whether a word continues or
another one begins, the model repeats the last word; a grammar makes it do so. It may also choose other tokens
where the text was cut within one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spnl_tui.models.request import Grammar

_LONGEST_WORD = 24
"""The most characters that are repeated."""


@dataclass(slots=True)
class Continuation:
    """The prompt for what follows a text, and what to leave out of the reply to it."""

    prompt: str
    repeated: str
    """The text that the model repeats."""
    close: int | None = None
    """A control token that the continuation may hold once: no regular expression matches it."""
    _received: str | None = ""
    """The received part of it; None once all of it was received."""

    @classmethod
    def after(cls, head: str, begun: str, close: int | None = None) -> Continuation:
        """Continue `begun`, which follows `head` in the prompt."""
        last_word = re.search(r"\s*\S*\s*\Z", begun)
        repeated = last_word.group()[-_LONGEST_WORD:] if last_word else ""
        return cls(head + begun[: len(begun) - len(repeated)], repeated, close)

    @property
    def grammar(self) -> Grammar | None:
        """A grammar that makes the model begin with the last word; None if there is no last word."""
        if not self.repeated:
            return None
        pattern = rf"{re.escape(self.repeated)}(.|\n)*"
        if self.close is None:
            return Grammar("regex", pattern)
        slashed = pattern.replace("/", r"\/").replace("\n", r"\n")
        return Grammar(
            "lark", f"start: BEGUN (<[{self.close}]> REST)?\nBEGUN: /{slashed}/\nREST: /(.|\\n)*/\n"
        )

    def feed(self, text: str) -> str:
        """Return what is new in this piece of the reply."""
        if self._received is None:
            return text
        self._received += text
        for expected in (self.repeated, self.repeated.lstrip()):
            if self._received.startswith(expected):
                text, self._received = self._received[len(expected) :], None
                return text
        return ""
