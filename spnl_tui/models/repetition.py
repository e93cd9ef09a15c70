"""Detect a reply that repeats itself without end, as small models do."""

from __future__ import annotations

_LOOKED_AT = 4_000
"""The characters at the end of a reply that are examined."""
_PROBE = 40
"""How many of the last characters to find earlier in the text; the distance is the length of the part."""
_LEAST_CHARACTERS = 400
_LEAST_TIMES = 6
"""The least number of times that a part must follow itself. Poems and tables repeat a line a few times."""
_LEAST_LETTERS = 4
"""Different letters in the repeated part. Rules, zeros and dots may be long on purpose."""


def repeated_part(text: str) -> str:
    """Return the part that the end of a text consists of; empty if the text does not end in repetitions."""
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
