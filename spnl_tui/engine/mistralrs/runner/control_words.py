"""Keeps control words in a text from controlling the model. Without side effects.

A tokenizer reads `<|im_end|>` in a prompt or a file as the token that ends a turn. A word joiner (a character
of no width) after the first character makes it plain text, which looks the same to the model. Replies lose
the joiner again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

JOINER = "\u2060"


class ControlWords:
    """The control words of one model."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._by_start: dict[str, list[str]] = {}
        for word in words:
            if len(word) > 1 and not word.isspace():
                self._by_start.setdefault(word[:2], []).append(word)
        # A vocabulary has thousands of control words with few different beginnings. Matching all words at
        # once is slow.
        starts = "|".join(re.escape(start) for start in sorted(self._by_start))
        self._starts = re.compile(f"(?={starts})") if starts else None

    def as_text(self, text: str) -> str:
        """Return the text with a joiner in every control word."""
        if self._starts is None:
            return text
        pieces, done = [], 0
        for match in self._starts.finditer(text):
            at = match.start()
            if any(text.startswith(word, at) for word in self._by_start[text[at : at + 2]]):
                pieces += [text[done : at + 1], JOINER]
                done = at + 1
        return "".join([*pieces, text[done:]]) if pieces else text
