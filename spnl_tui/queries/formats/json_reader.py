"""Read JSON with the place of every value. The standard library has neither places nor a limit on depth."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

from spnl_tui.queries.source import PARAMETER, Parameters, Place, QuerySyntaxError, Source, excerpt

JsonValue: TypeAlias = "dict[str, Located] | list[Located] | str | int | float | bool | None"

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"')
_WORD = re.compile(r"[\w.+-]+")
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Located:
    """A JSON value and its place."""

    value: JsonValue
    place: Place

    @property
    def kind(self) -> str:
        """Describe the value in a few words, for an error."""
        match self.value:
            case dict():
                return "an object"
            case list():
                return "an array"
            case str():
                return f'"{excerpt(self.value)}"'
            case None:
                return "null"
            case bool():
                return str(self.value).lower()
            case _:
                return str(self.value)


def read_located(text: str, max_nesting: int, parameters: Parameters) -> Located:
    """Return the JSON value (RFC 8259) in `text`, with parameters replaced in its texts.

    Raises:
        QuerySyntaxError: the text is not JSON, repeats a key, or is nested deeper than `max_nesting`.
    """
    reader = _Reader(Source(text), max_nesting, parameters)
    value = reader.value("", 0)
    if reader.peek():
        raise reader.error("the end of the text")
    return value


class _Reader:
    def __init__(self, source: Source, max_nesting: int, parameters: Parameters) -> None:
        self.source = source
        self.text = source.text
        self.offset = 0
        self.max_nesting = max_nesting
        self.parameters = parameters

    def peek(self) -> str:
        """Return the next character that is not white space; "" at the end."""
        space = _SPACE.match(self.text, self.offset)
        assert space is not None
        self.offset = space.end()
        return self.text[self.offset : self.offset + 1]

    def error(self, expected: str, pointer: str | None = None) -> QuerySyntaxError:
        word = _WORD.match(self.text, self.offset)
        found = excerpt(word[0]) if word else excerpt(self.peek()) or "the end of the text"
        return QuerySyntaxError(f"found {found}; expected {expected}", self.place(pointer))

    def place(self, pointer: str | None) -> Place:
        return self.source.place(self.offset, pointer or None)

    def value(self, pointer: str, nesting: int) -> Located:
        first = self.peek()
        place = self.place(pointer)
        if nesting > self.max_nesting:
            raise QuerySyntaxError(f"it is nested more than {self.max_nesting} deep", self.place(None))
        if first == "{":
            return Located(self.object(pointer, nesting), place)
        if first == "[":
            return Located(self.array(pointer, nesting), place)
        if first == '"':
            return Located(self.text_value(pointer), place)
        if number := _NUMBER.match(self.text, self.offset):
            if len(number[0]) > 30:
                raise self.error("a number of 30 digits or fewer", pointer)
            self.offset = number.end()
            return Located(float(number[0]) if number[1] or number[2] else int(number[0]), place)
        word = _WORD.match(self.text, self.offset)
        if word and word[0] in _CONSTANTS:
            self.offset = word.end()
            return Located(_CONSTANTS[word[0]], place)
        raise self.error("a JSON value", pointer)

    def text_value(self, pointer: str | None) -> str:
        """Return a text with its parameters replaced; keys have none."""
        start = self.offset
        text = self.string(pointer)
        # Replace it in the source text, because an escaped brace is not a parameter.
        parts = PARAMETER.split(self.text[start + 1 : self.offset - 1])
        if not self.parameters or len(parts) == 1:
            return text
        parts[::2] = (json.loads(f'"{part}"') for part in parts[::2])
        parts[1::2] = (str(self.parameters.get(name, f"{{{name}}}")) for name in parts[1::2])
        return "".join(parts)

    def string(self, pointer: str | None) -> str:
        literal = _STRING.match(self.text, self.offset)
        if literal is None:
            raise QuerySyntaxError(
                "found a text that does not end on its line",
                self.place(pointer),
                'Close it with "; write a line break as \\n and a quote as \\".',
            )
        try:
            text = json.loads(literal[0])
        except json.JSONDecodeError as error:
            self.offset += error.pos
            raise QuerySyntaxError(
                "found an unknown escape in a text", self.place(pointer), "Write a backslash as \\\\."
            ) from error
        assert isinstance(text, str)
        self.source.reject_surrogates(text, self.offset, pointer or None)
        self.offset = literal.end()
        return text

    def array(self, pointer: str, nesting: int) -> list[Located]:
        items: list[Located] = []
        self.offset += 1
        if self.peek() == "]":
            self.offset += 1
            return items
        while True:
            items.append(self.value(f"{pointer}/{len(items)}", nesting + 1))
            if self.separator("]", pointer):
                return items

    def object(self, pointer: str, nesting: int) -> dict[str, Located]:
        fields: dict[str, Located] = {}
        self.offset += 1
        if self.peek() == "}":
            self.offset += 1
            return fields
        while True:
            if self.peek() != '"':
                raise self.error("a key in quotes", pointer)
            place = self.place(pointer)
            key = self.string(pointer)
            if key in fields:
                raise QuerySyntaxError(
                    f'found the key "{excerpt(key)}" a second time', place, "Keep one of them."
                )
            if self.peek() != ":":
                raise self.error(": after the key", pointer)
            self.offset += 1
            fields[key] = self.value(f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}", nesting + 1)
            if self.separator("}", pointer):
                return fields

    def separator(self, close: str, pointer: str) -> bool:
        """Skip a comma or `close`. Return True at the end."""
        found = self.peek()
        if found not in (",", close):
            raise self.error(f", or {close}", pointer)
        self.offset += 1
        return found == close
