"""Show the effect of a call in characters that hide nothing from the user who decides."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")
_MOST_NAMED = 3


def inert(text: str) -> str:
    """Return the text with everything invisible, or that changes how it is shown, as an escape.

    That is what controls the terminal, has no width, or turns the direction of writing, and white space
    other than a plain space.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter == "\n" or letter == " ":
        return letter
    if letter == "\t":
        return "\\t"
    category = unicodedata.category(letter)
    if category[0] in "CZ" or category in ("Mn", "Me") or letter in "\u2800\u3164\uffa0\u115f\u1160":
        code = ord(letter)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return letter


def look_alikes(text: str) -> str:
    """Return a warning if words mix alphabets, such as Latin and Cyrillic; else an empty text."""
    named: list[str] = []
    for word in _WORD.findall(text):
        letters = [letter for letter in word if letter.isalpha()]
        scripts = {_script(letter) for letter in letters}
        if len(scripts) < 2 or "LATIN" not in scripts:
            continue
        for letter in letters:
            name = f"{letter} (U+{ord(letter):04X} {unicodedata.name(letter, 'unnamed').lower()})"
            if _script(letter) != "LATIN" and name not in named:
                named.append(name)
    if not named:
        return ""
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    return f"Letters that look like others: {', '.join(named[:_MOST_NAMED])}{more}"


def _script(letter: str) -> str:
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "UNNAMED")
    return "LATIN" if name.startswith("LATIN ") else name.split(" ")[0]
