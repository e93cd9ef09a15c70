"""Resumes a reply where it stopped. Standard library only, because the runner imports it.

mistral.rs strips the white space before the first token of a reply, so a continued word and a new one look
alike. Therefore a grammar makes the model repeat the last word. If the text was cut within a token, the model
may also choose other tokens for the word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spnl_tui.models.request import Grammar

_LONGEST_WORD = 24
"""The most characters to repeat."""


@dataclass(slots=True)
class Continuation:
    """The prompt to continue a text, and the repeated text to remove from the reply."""

    prompt: str
    repeated: str
    """The text that the model repeats."""
    close: int | None = None
    """A control token that the continuation may contain once. It needs a grammar, because no regular
    expression matches it."""
    _received: str | None = ""
    """The part of `repeated` received so far; None once all of it was received."""

    @classmethod
    def after(cls, head: str, begun: str, close: int | None = None) -> Continuation:
        """Return the continuation of `begun`, which follows `head` in the prompt."""
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
        """Return the new text in this piece of the reply."""
        if self._received is None:
            return text
        self._received += text
        for expected in (self.repeated, self.repeated.lstrip()):
            if self._received.startswith(expected):
                text, self._received = self._received[len(expected) :], None
                return text
        return ""
