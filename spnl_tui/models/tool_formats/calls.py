"""The common parts of the formats: parsed calls, and the literal text that most formats put around JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.tools import Tool

_DECODER = json.JSONDecoder(strict=False)  # models write line breaks into strings
_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


class Parsed(NamedTuple):
    """Calls parsed from the beginning of a text."""

    calls: tuple[ToolCallPart, ...]
    end: int
    """The offset at which the text continues after the calls."""


Parse: TypeAlias = Callable[[str, Mapping[str, Tool]], Parsed | None]
"""Parses the calls at the beginning of a text; returns None if there is no complete call.

The tools give the types of values that a format does not mark.
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """The literal text around JSON arguments. `NAME` is the place of the tool's name."""

    open: str
    """The text before the first call."""
    before: str
    """The text before the arguments of each call."""
    after: str
    """The text after the arguments of each call."""
    between: str = ""
    close: str = ""
    """The text after the last call."""

    def write(self, calls: Sequence[ToolCallPart]) -> str:
        """Return the calls as a model with this format writes them."""
        written = [
            f"{self.before.replace('NAME', call.name)}{_spaced(call.arguments)}{self.after}" for call in calls
        ]
        return f"{self.open}{self.between.join(written)}{self.close}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFormat:
    """One format of tool calls."""

    name: str
    families: str
    """The families that were trained on this format, for the documentation."""
    opens: tuple[str, ...]
    """The possible beginnings of a call."""
    parse: Parse
    write: Callable[[Sequence[ToolCallPart]], str]
    frame: Frame | None = None
    """None if the arguments are not JSON, so that a JSON schema cannot restrict them."""
    at_start: bool = False
    """True if calls can begin only at the start of the reply, because their beginning is ordinary text."""
    writes: str = ""
    """Distinguishes formats with the same parser: text that a template with this format writes for a call."""
    signs: tuple[str, ...] = ()
    """Texts that identify the format in a template that does not itself write calls."""
    stops: tuple[str, ...] = ()
    """Texts that follow a call in a prompt. A model that writes one of them invents the results."""


def new_call_id() -> str:
    """Return an id of nine letters and digits, the only length that Mistral's templates accept."""
    return "".join(_ID_LETTERS[byte % len(_ID_LETTERS)] for byte in os.urandom(9))


def call_of(name: object, arguments: object, id: object = "") -> ToolCallPart | None:
    """Return the call with this name and these arguments, an object or its JSON; None if they are not
    valid."""
    if isinstance(arguments, str):
        arguments = as_object(arguments)
    if arguments is None:
        arguments = {}
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    text = json.dumps(arguments, ensure_ascii=False)
    return ToolCallPart(str(id) if id else "", name, text)


def as_object(text: str) -> dict[str, Any] | None:
    """Parse a JSON object; return None if the text is not one."""
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def json_at(text: str, start: int) -> tuple[Any, int] | None:
    """Return the JSON value after white space from `start` on, and its end; None if there is none."""
    start = skip_space(text, start)
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None


def call_of_json(value: object) -> ToolCallPart | None:
    """Return the call that an object describes with any of the usual keys; None if it describes none."""
    if not isinstance(value, dict):
        return None
    if isinstance(inner := value.get("function"), dict):
        value = {**inner, "id": value.get("id", "")}
    name = next((value[key] for key in ("name", "tool_name", "function") if key in value), None)
    keys = ("arguments", "parameters", "args", "input")
    arguments = next((value[key] for key in keys if key in value), None)
    if arguments is None and set(value) - {"name", "tool_name", "function", "id", "tool_call_id", "type"}:
        return None
    return call_of(name, arguments, value.get("id", ""))


def calls_of_json(value: object) -> tuple[ToolCallPart, ...]:
    """Return the calls of an object or a list of objects; none if one of them is not a call."""
    found = [call_of_json(each) for each in (value if isinstance(value, list) else [value])]
    calls = tuple(call for call in found if call is not None)
    return calls if len(calls) == len(found) else ()


def skip_space(text: str, at: int) -> int:
    """Return the offset of the next character that is not white space."""
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def skip_any(text: str, at: int, words: Collection[str]) -> int:
    """Return the offset after white space and, if present, one of these words."""
    place = skip_space(text, at)
    return next((place + len(word) for word in words if text.startswith(word, place)), at)


def typed(value: str, name: str, tool: Tool | None) -> Any:
    """Convert a value written without quotes to the type in the tool's schema."""
    schema = {} if tool is None else tool.schema.get("properties", {}).get(name, {})
    kinds = schema.get("type") if isinstance(schema, dict) else None
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds:
        return value
    stripped = value.strip()
    if kinds == ["boolean"] and stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    try:
        return _DECODER.decode(stripped)
    except (ValueError, RecursionError):
        return value


def _spaced(arguments: str) -> str:
    """Return JSON with Python's spacing, on which most models were trained."""
    found = as_object(arguments)
    return arguments if found is None else json.dumps(found, ensure_ascii=False)


def name_pattern() -> str:
    """Return a regular expression for names of tools."""
    return r"[A-Za-z0-9_.:/-]{1,128}"


NAME = re.compile(name_pattern())
