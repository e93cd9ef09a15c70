"""The text of a query, and the places of errors in it."""

from __future__ import annotations

import bisect
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from spnl_tui.errors import QueryError

MAX_SOURCE_CHARACTERS = 4_000_000
MAX_TEMPERATURE = 2.0

Parameters: TypeAlias = Mapping[str, str | int | float]
"""The values of `{name}` in a query file."""

PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""The place of a parameter in a text."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in the text of a query. Lines and columns count from 1."""

    line: int
    column: int
    pointer: str | None = None
    """The JSON pointer of the value (RFC 6901); empty in Lisp."""

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}"
        return f"{where} (at {self.pointer})" if self.pointer else where


class QuerySyntaxError(QueryError):
    """A query is malformed. `place` says where; it is None for a query that was not read from a text."""

    def __init__(self, message: str, place: Place | None, hint: str = "") -> None:
        super().__init__("The query is wrong" + (f" at {place}" if place else ""), message, hint)
        self.place = place


class Source:
    """A text that knows the place of each of its characters.

    Raises:
        QuerySyntaxError: the text is too long, or has a lone surrogate, which is not a character.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        if len(text) > MAX_SOURCE_CHARACTERS:
            raise QuerySyntaxError(
                f"it is longer than {MAX_SOURCE_CHARACTERS:,} characters",
                self.place(MAX_SOURCE_CHARACTERS),
                'Keep long texts in files of their own, and read them with (file "path").',
            )
        self.reject_surrogates(text, 0)

    def place(self, offset: int, pointer: str | None = None) -> Place:
        """Return the place of the character at `offset`."""
        line = bisect.bisect_right(self._line_starts, offset)
        return Place(line, offset - self._line_starts[line - 1] + 1, pointer)

    def reject_surrogates(self, text: str, offset: int, pointer: str | None = None) -> None:
        """Raise QuerySyntaxError if `text`, written at `offset`, cannot be encoded."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            at = offset + error.start if text is self.text else offset
            raise QuerySyntaxError(
                f"found U+{ord(text[error.start]):04X}, half of a surrogate pair; expected whole characters",
                self.place(at, pointer),
                "Save the query as UTF-8.",
            ) from error


@dataclass(frozen=True, slots=True)
class Found:
    """Describe a value that is neither a text nor a number, for an error."""

    written: str

    def __str__(self) -> str:
        return self.written


def nearest(word: str, words: Iterable[str]) -> str:
    """Return a hint with the most similar known word, or with all words if none is similar."""
    known = list(words)
    close = difflib.get_close_matches(word[:100].lower(), known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}."


def excerpt(text: str, limit: int = 40) -> str:
    """Return `text` on one line without control characters, for messages and trees."""
    # Keep one character more than the limit, so that a long text is not searched to its end.
    line = " ".join(text[: 4 * limit].split())
    line = "".join(character if character.isprintable() else "·" for character in line)
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 1] + "…"


def parameter(word: str, parameters: Parameters, place: Place) -> str | int | float | None:
    """Return the value of the parameter if `word` is `{name}`, and None for any other word.

    Raises:
        QuerySyntaxError: no parameter has that name.
    """
    match = PARAMETER.fullmatch(word)
    if not match:
        return None
    if match[1] not in parameters:
        hint = nearest(match[1], parameters) if parameters else "This query takes no parameters."
        raise QuerySyntaxError(f"found {excerpt(word)}, which is no parameter", place, hint)
    return parameters[match[1]]


def check_tool(name: object, place: Place | None) -> str:
    """Return the name of a tool that only reads.

    Raises:
        QuerySyntaxError: it is another.
    """
    from spnl_tui.tools.toolbox import READ_ONLY

    if isinstance(name, str) and name in READ_ONLY:
        return name
    raise QuerySyntaxError(
        f"found the tool {excerpt(str(name))}; expected one that only reads",
        place,
        f"These do: {', '.join(sorted(READ_ONLY))}.",
    )


def check_temperature(value: object, place: Place | None) -> float:
    """Return `value` as a temperature.

    Raises:
        QuerySyntaxError: `value` is not a number in [0, 2].
    """
    hint = ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value <= MAX_TEMPERATURE:
            return float(value)
        hint = "The order is model, input, temperature, max_tokens."
    raise QuerySyntaxError(f"found {_shown(value)}; expected a temperature from 0 to 2", place, hint)


def check_count(value: object, what: str, low: int, high: int, place: Place | None) -> int:
    """Return `value` as an integer.

    Raises:
        QuerySyntaxError: `value` is not an integer in [low, high].
    """
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise QuerySyntaxError(
        f"found {_shown(value)}; expected {what}, a whole number from {low} to {high:,}", place
    )


def check_model(value: object, place: Place | None) -> str:
    """Return `value` as a model's name.

    Raises:
        QuerySyntaxError: `value` is not a text, or it is empty.
    """
    if isinstance(value, str) and value.strip():
        return value
    raise QuerySyntaxError(
        f"found {_shown(value)}; expected the name of a model in quotes", place, 'For example "qwen3:1.7b".'
    )


def _shown(value: object) -> str:
    return f'"{excerpt(value)}"' if isinstance(value, str) else excerpt(str(value))
