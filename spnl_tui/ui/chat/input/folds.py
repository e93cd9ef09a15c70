"""Long pastes, each shown in the prompt as a few words: "[pasted 48 lines]"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_LINES = 12
_CHARACTERS = 2000


class Folds:
    """The pastes since the start of the program, by their placeholders."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def fold(self, text: str) -> str:
        """Return the placeholder of a text; a short text is its own."""
        lines = text.count("\n") + (not text.endswith("\n"))
        if lines <= _LINES and len(text) <= _CHARACTERS:
            return text
        what = f"pasted {lines:,} lines" if lines > 1 else f"pasted {len(text):,} characters"
        token, number = f"[{what}]", 1
        while self._texts.get(token, text) != text:
            number += 1
            token = f"[{what}, {number}]"
        self._texts[token] = text
        self._pattern = re.compile("|".join(map(re.escape, self._texts)))
        return token

    def behind(self, typed: str) -> dict[str, str]:
        """Return the pasted texts by their placeholders in `typed`."""
        return {token: text for token, text in self._texts.items() if token in typed}

    def restore(self, texts: Mapping[str, str]) -> None:
        """Restore placeholders and their texts."""
        self._texts |= texts
        if self._texts:
            self._pattern = re.compile("|".join(map(re.escape, self._texts)))

    def unfold(self, typed: str) -> str:
        """Return a prompt with the pastes in place of the words for them."""
        return self._pattern.sub(lambda match: self._texts[match[0]], typed) if self._pattern else typed

    def refold(self, text: str) -> str:
        """Return a text with the words in place of its pastes. Reverses `unfold`."""
        for token, whole in sorted(self._texts.items(), key=lambda item: -len(item[1])):
            text = text.replace(whole, token)
        return text

    def spans(self, line: str) -> Iterator[tuple[int, int]]:
        """Yield the start and end of such words in a line."""
        if self._pattern:
            yield from (match.span() for match in self._pattern.finditer(line))

    def outside(self, line: str, column: int, by: int) -> int:
        """Return the column; inside of such words, their start (by -1) or end (by 1)."""
        for start, end in self.spans(line):
            if start < column < end:
                return start if by < 0 else end
        return column
