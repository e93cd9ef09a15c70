"""The expressions of SPNL's Lisp: lists, words, texts and numbers, each with its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from spnl_tui.queries.source import PARAMETER, Parameters, Place, QuerySyntaxError, Source, excerpt, parameter
from spnl_tui.queries.tree import MAX_DEPTH, too_deep

_MAX_NESTING = 3 * MAX_DEPTH + 5  # a (repeat n (generate (input …))) takes three lists for one node

_TOKEN = re.compile(
    r"""(?P<skip>(?:\s|;[^\n]*)+)
      | (?P<open>\()
      | (?P<close>\))
      | (?P<text>"[^"\\]*(?:\\.[^"\\]*)*")
      | (?P<word>[^\s()";]+)""",
    re.DOTALL | re.VERBOSE,
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_ESCAPE_OR_PARAMETER = re.compile(
    rf"\\(?:u\{{([0-9a-fA-F]{{1,6}})\}}|x([0-9a-fA-F]{{2}})|(\n\s*)|(.))|{PARAMETER.pattern}", re.DOTALL
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Word:
    """A symbol: any word that is neither a text nor a number."""

    name: str
    place: Place


@dataclass(frozen=True, slots=True)
class Literal:
    """A text or a number."""

    value: str | int | float
    place: Place


@dataclass(frozen=True, slots=True)
class List:
    """Expressions in parentheses; `end` is the place of the closing one."""

    items: tuple[Expression, ...]
    place: Place
    end: Place


Expression: TypeAlias = Word | Literal | List


def read_expression(source: Source, parameters: Parameters) -> Expression:
    """Return the only expression of the source.

    Raises:
        QuerySyntaxError: the source has no expression or more than one, or a list or text that does not end.
    """
    text, offset = source.text, 0
    found: list[Expression] = []
    open_lists: list[tuple[Place, list[Expression]]] = []
    while offset < len(text):
        token = _TOKEN.match(text, offset)
        place = source.place(offset)
        if token is None:  # only an unclosed quote matches nothing
            raise QuerySyntaxError(
                "found a text that does not end",
                place,
                'Close it with "; write a quote inside a text as \\".',
            )
        offset = token.end()
        into = open_lists[-1][1] if open_lists else found
        match token.lastgroup:
            case "open":
                if len(open_lists) == _MAX_NESTING:
                    raise too_deep(place)
                open_lists.append((place, []))
            case "close":
                if not open_lists:
                    raise QuerySyntaxError("found ) without its (", place)
                start, items = open_lists.pop()
                (open_lists[-1][1] if open_lists else found).append(List(tuple(items), start, place))
            case "text":
                into.append(Literal(_text(token[0][1:-1], parameters, place), place))
            case "word":
                into.append(_word(token[0], parameters, place))
        if len(found) > 1:
            raise QuerySyntaxError(
                "found a second query; expected the end of the text",
                found[1].place,
                "Put several queries into one (seq …) or (par …).",
            )
    if open_lists:
        start, items = open_lists[-1]
        raise QuerySyntaxError(
            f"found the end of the text; expected ) for the ( at {start}",
            source.place(len(text)),
            f"The list begins with ({head(items)}.",
        )
    if not found:
        raise QuerySyntaxError(
            "found nothing; expected a query",
            source.place(len(text)),
            'For example (g "qwen3:1.7b" "Hello").',
        )
    return found[0]


def _word(word: str, parameters: Parameters, place: Place) -> Expression:
    value = parameter(word, parameters, place)
    if value is not None:
        return Literal(value, place)
    if _NUMBER.fullmatch(word):
        if len(word) > 30:
            raise QuerySyntaxError(f"found {excerpt(word)}; expected a number of 30 digits or fewer", place)
        return Literal(float(word) if set(word) & set(".eE") else int(word), place)
    return Word(word, place)


def _text(written: str, parameters: Parameters, place: Place) -> str:
    """Return the text between quotes with Rust's escapes, as in SPNL's own Lisp, and parameters replaced.

    Replace both in one pass, because a parameter's value has no escapes and an escaped brace is not a
    parameter.
    """
    if "\\" not in written and "{" not in written:
        return written

    def one(match: re.Match[str]) -> str:
        if match[5]:
            return str(parameters.get(match[5], match[0]))
        hexadecimal = match[1] or match[2]
        if hexadecimal:
            code = int(hexadecimal, 16)
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise QuerySyntaxError(f"found {match[0]}, which is not a character", place)
            return chr(code)
        if match[3]:  # a backslash at the end of a line joins it with the next
            return ""
        if match[4] not in _ESCAPES:
            raise QuerySyntaxError(
                f"found {excerpt(match[0])} in a text; expected an escape",
                place,
                r"Known here: \n, \t, \r, \0, \", \\, \x41 and \u{1F600}. Write a backslash as \\.",
            )
        return _ESCAPES[match[4]]

    return _ESCAPE_OR_PARAMETER.sub(one, written)


def head(items: Sequence[Expression]) -> str:
    """Return the name at the beginning of a list; "…" if it has none."""
    return excerpt(items[0].name) if items and isinstance(items[0], Word) else "…"


def what(expression: Expression) -> str:
    """Describe the expression in a few words, for an error."""
    match expression:
        case Word(name):
            return excerpt(name)
        case Literal(str(text)):
            return f'"{excerpt(text)}"'
        case Literal(value):
            return excerpt(str(value))
        case List(items):
            return f"({head(items)} …)" if items else "()"
