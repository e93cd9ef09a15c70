"""Parts of formulas as text: fractions, roots, superscripts, letters of the mathematical alphabets.

Superscripts, subscripts, fractions and letters come from the Unicode Character Database.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

SIMPLE = re.compile(r"[∂∇Δ√∛∜]?[\w′’'.∞°%!\u0300-\u036f\u20d0-\u20ff]*(\^\w|\^?\([^()]*\))?")
"""Matches what needs no parentheses above a fraction line."""


def joined(text: str, piece: str) -> str:
    """Return a text with the next piece, with at most the wider of the two spaces between them."""
    if piece[:1] in "⌋⌉⟩" and piece:
        text = text.rstrip()
    if text.endswith(" ") and piece.startswith(" "):
        ours, its = len(text) - len(text.rstrip()), len(piece) - len(piece.lstrip())
        text = text.rstrip() if ours <= its else text
        piece = piece if ours <= its else piece.lstrip()
    # A fraction in a line needs a space, or its neighbours would seem to be parts of it.
    after = piece[:1].isalnum() or piece[:1] in ("∑", "∏", "∫", "√", "∂", "∇")
    before = text[-1:].isalnum() and "/" in piece and len(piece) > 1
    if (_ends_in_fraction(text) and after) or before:
        text = f"{text} "
    return text + piece if text or piece.strip() else ""


def _ends_in_fraction(text: str) -> bool:
    return re.search(r"/[^\s/()]+$", text) is not None and not text.endswith("(")


def relaxed(text: str) -> str:
    return re.sub(r" {2,}", " ", text).strip()


def fraction(top: str, bottom: str) -> str:
    if (one := _fractions().get((top, bottom))) is not None:
        return one
    above = top if SIMPLE.fullmatch(top) else f"({top})"
    below = bottom if SIMPLE.fullmatch(bottom) and not _is_product(bottom) else f"({bottom})"
    return f"{above}/{below}"


def _is_product(text: str) -> bool:
    """Return True for several factors side by side, such as "2π" or "bc", but not for "dx" or "time"."""
    base = "".join(each for each in text if each.isalnum() and each not in _marks())
    if base.isdecimal() or len(base) < 2 or re.fullmatch(r"[d∂Δ]\w", base) or "(" in text:
        return base[:1].isdecimal() and not base.isdecimal()
    return not base.isascii() or len(base) == 2 or base[0].isdecimal()


@cache
def _marks() -> frozenset[str]:
    return frozenset((*scripts("super").values(), *scripts("sub").values()))


def root(radicand: str, index: str) -> str:
    sign = {"": "√", "2": "√", "3": "∛", "4": "∜"}.get(index)
    if sign is None:
        raised = scripts("super")
        sign = (
            f"{''.join(raised[each] for each in index)}√"
            if all(each in raised for each in index)
            else f"[{index}]√"
        )
    single = radicand.isdecimal() or len("".join(each for each in radicand if each not in _marks())) == 1
    return (
        f"{sign}{radicand}"
        if single or (radicand.startswith("(") and radicand.endswith(")"))
        else f"{sign}({radicand})"
    )


def raised(text: str) -> str:
    letters = scripts("super")
    compact = text.replace(" ", "")
    return (
        "".join(letters[each] for each in compact)
        if compact and all(each in letters for each in compact)
        else f"^({text})"
    )


def accented(text: str, mark: str) -> str:
    return (
        "".join(f"{each}{mark}" if not each.isspace() else each for each in text)
        if len(text) > 1
        else f"{text}{mark}"
    )


def letter(alphabet: str, letter: str) -> str:
    """Return a letter of a mathematical alphabet; the letter itself if the alphabet lacks it."""
    kind = "CAPITAL" if letter.isupper() else "SMALL"
    fraktur = "BLACK-LETTER" if alphabet == "FRAKTUR" else alphabet
    digits = f"MATHEMATICAL {alphabet} DIGIT {unicodedata.name(letter, '').rpartition(' ')[2]}"
    names = (f"{fraktur} {kind} {letter.upper()}", f"MATHEMATICAL {alphabet} {kind} {letter.upper()}", digits)
    for name in names:
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return letter


@cache
def scripts(kind: str) -> dict[str, str]:
    """Return the superscript ("super") or subscript ("sub") of each character that has one."""
    found = {}
    for code in (
        *range(0xB2, 0xBA),
        *range(0x1D2C, 0x1D6B),
        0x1D78,
        *range(0x1D9B, 0x1DC0),
        *range(0x2070, 0x209D),
        0x2C7C,
    ):
        tag, _, base = unicodedata.decomposition(chr(code)).partition(" ")
        if tag == f"<{kind}>" and " " not in base:
            found[chr(int(base, 16))] = chr(code)
    found["-"] = found["\u2212"]
    return found


@cache
def _fractions() -> dict[tuple[str, str], str]:
    """Return the fractions that are one character, such as ½."""
    found = {}
    for code in (*range(0xBC, 0xBF), *range(0x2150, 0x215F)):
        parts = unicodedata.decomposition(chr(code)).split()
        digits = "".join(chr(int(part, 16)) for part in parts[1:])
        top, slash, bottom = digits.partition("\u2044")
        if slash and bottom:
            found[top, bottom] = chr(code)
    return found
