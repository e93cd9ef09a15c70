"""Detects replies that repeat themselves endlessly, as those of small models do."""

from __future__ import annotations

_LOOKED_AT = 4_000
"""The number of characters at the end of a reply to examine."""
_PROBE = 40
"""The number of last characters to search for earlier in the text. The distance to that place is the length
of the repeated part."""
_LEAST_CHARACTERS = 400
_LEAST_TIMES = 6
"""The fewest consecutive repetitions that count. Poems and tables repeat a line a few times."""
_LEAST_LETTERS = 4
"""The fewest different letters in the repeated part. Lines of dashes, zeros or dots may be intended."""


def repeated_part(text: str) -> str:
    """Return the part that repeats at the end of a text; empty if nothing repeats there."""
    if len(text) < _LEAST_CHARACTERS:
        return ""
    tail = text[-_LOOKED_AT:]
    previous = tail.rfind(tail[-_PROBE:], 0, len(tail) - 1)
    if previous < 0:
        return ""
    period = len(tail) - _PROBE - previous
    part = tail[-period:]
    if len({each for each in part.casefold() if each.isalpha()}) < _LEAST_LETTERS:
        return ""
    times = 1
    while tail.endswith(part * (times + 1)):
        times += 1
    return part if times >= _LEAST_TIMES and times * period >= _LEAST_CHARACTERS else ""
