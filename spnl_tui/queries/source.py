"""The text of a query, and how to say where it is wrong."""

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
"""What `{name}` stands for in a query file."""

PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""Where one is put in, if there is one of that name."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the text of a query. Lines and columns count from 1."""

    line: int
    column: int
    pointer: str | None = None
    """In JSON, also the JSON pointer of the value (RFC 6901)."""

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}"
        return f"{where} (at {self.pointer})" if self.pointer else where


class QuerySyntaxError(QueryError):
    """A query is malformed, and `place` is where; None for a query that was not read from a text."""

    def __init__(self, message: str, place: Place | None, hint: str = "") -> None:
        super().__init__("The query is wrong" + (f" at {place}" if place else ""), message, hint)
        self.place = place


class Source:
    """A text that gives the place of each of its characters.

    Raises:
        QuerySyntaxError: the text is too long, or holds half a surrogate pair, which is not a character.
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
        """The place of the character at `offset`."""
        line = bisect.bisect_right(self._line_starts, offset)
        return Place(line, offset - self._line_starts[line - 1] + 1, pointer)

    def reject_surrogates(self, text: str, offset: int, pointer: str | None = None) -> None:
        """Raise if `text`, which was written at `offset`, cannot be encoded."""
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
    """Something that is no text and no number, as an error shows it."""

    written: str

    def __str__(self) -> str:
        return self.written


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint that names the known word spelled most like `word`; all the words if none is like it."""
    known = list(words)
    close = difflib.get_close_matches(word[:100].lower(), known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}."


def excerpt(text: str, limit: int = 40) -> str:
    """`text` on one line without control characters, for messages and trees."""
    # One character more than is kept, so that a long text is not searched to its end.
    line = " ".join(text[: 4 * limit].split())
    line = "".join(character if character.isprintable() else "·" for character in line)
    return line if len(line) <= limit and len(text) <= 4 * limit else line[: limit - 1] + "…"


def parameter(word: str, parameters: Parameters, place: Place) -> str | int | float | None:
    """The value of `{name}` if that is what `word` is, None if it is something else.

    Raises:
        QuerySyntaxError: it is `{name}`, and no parameter has that name.
    """
    match = PARAMETER.fullmatch(word)
    if not match:
        return None
    if match[1] not in parameters:
        hint = nearest(match[1], parameters) if parameters else "This query takes no parameters."
        raise QuerySyntaxError(f"found {excerpt(word)}, which is no parameter", place, hint)
    return parameters[match[1]]


def check_temperature(value: object, place: Place | None) -> float:
    """`value` as a temperature.

    Raises:
        QuerySyntaxError: it is not a number in [0, 2].
    """
    hint = ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if 0 <= value <= MAX_TEMPERATURE:
            return float(value)
        hint = "The order is model, input, temperature, max_tokens."
    raise QuerySyntaxError(f"found {_shown(value)}; expected a temperature from 0 to 2", place, hint)


def check_count(value: object, what: str, low: int, high: int, place: Place | None) -> int:
    """`value` as a whole number.

    Raises:
        QuerySyntaxError: it is not a whole number in [low, high].
    """
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise QuerySyntaxError(
        f"found {_shown(value)}; expected {what}, a whole number from {low} to {high:,}", place
    )


def check_model(value: object, place: Place | None) -> str:
    """`value` as a model's name.

    Raises:
        QuerySyntaxError: it is not a text, or empty.
    """
    if isinstance(value, str) and value.strip():
        return value
    raise QuerySyntaxError(
        f"found {_shown(value)}; expected the name of a model in quotes", place, 'For example "qwen3:1.7b".'
    )


def _shown(value: object) -> str:
    return f'"{excerpt(value)}"' if isinstance(value, str) else excerpt(str(value))
