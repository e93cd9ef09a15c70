"""Converts turns and conversations to JSON values and back, for the store and for exports.

Fields that are empty by default are not written. Other defaults are written, because another version may have
other defaults. Files may come from anyone, so every field is checked: a value of the wrong type raises a
ValueError that names the field. Unknown fields are ignored, because a newer version may have written them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import RequestError
from spnl_tui.models.parts import Content, as_content, content_from_plain, content_to_plain, is_plain
from spnl_tui.text import well_formed

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Convert a dataclass to a dict without empty fields and a tuple to a list; return other values
    unchanged."""
    if dataclasses.is_dataclass(value):
        plain = {}
        for name, default in _defaults(type(value)).items():
            item = getattr(value, name)
            if item or item != default:
                plain[name] = to_plain(item)
        return plain
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(cls: type[T], plain: Any) -> T:
    """Return an instance of the dataclass `cls` from the output of `to_plain`.

    Raises:
        ValueError: a field is missing, has the wrong type, or is out of range.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"{cls.__name__} must be an object, not {_kind(plain)}")
    values = {name: read(plain[name], name) for name, read in _readers(cls).items() if name in plain}
    try:
        return cls(**values)
    except (TypeError, RequestError) as error:
        raise ValueError(f"{cls.__name__}: {error}") from error


def turn_to_plain(turn: Turn) -> dict[str, Any]:
    """Return a turn as JSON values. Content that is one text becomes `text`, other content `content`."""
    plain = {}
    for name, value in to_plain(turn).items():
        if name != "content":
            plain[name] = value
        elif is_plain(turn.content):
            plain["text"] = turn.text
        else:
            plain["content"] = content_to_plain(turn.content)
    return plain


def turn_from_plain(plain: Any) -> Turn:
    """Return a turn from the output of `turn_to_plain`.

    Raises:
        ValueError: a field is missing, has the wrong type, or is out of range.
    """
    if not isinstance(plain, dict):
        return from_plain(Turn, plain)
    text, parts = plain.get("text", ""), plain.get("content")
    if not isinstance(text, str):
        _refuse(text, "text")
    content = as_content(well_formed(text)) if parts is None else content_from_plain(_well_formed(parts))
    turn = from_plain(Turn, {name: value for name, value in plain.items() if name != "content"})
    return dataclasses.replace(turn, content=content)


def content_to_json(content: Content) -> str:
    """Return content as compact JSON."""
    return json.dumps(content_to_plain(content), ensure_ascii=False, separators=(",", ":"))


def _well_formed(value: Any) -> Any:
    """Apply `well_formed` to every text in these JSON values."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_well_formed(item) for item in value]
    return {key: _well_formed(item) for key, item in value.items()} if isinstance(value, dict) else value


def to_json(value: Any) -> str:
    """Return the value as compact JSON, using `to_plain`."""
    return json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"))


def _reader(hint: Any) -> Callable[[Any, str], Any]:
    """Return a function that checks a value of type `hint` and raises ValueError if it is wrong.

    Types are examined once, not again for each of ten thousand turns.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is str:
        return _checked(lambda value: isinstance(value, str), well_formed)
    if hint is float:
        # Keep integers as they are, so that writing them again gives the same text.
        return _checked(lambda value: _is_number(value, (int, float)) and _finite(value))
    if hint is bool:
        return _checked(lambda value: isinstance(value, bool))
    if hint is int:
        # SQLite's integers have 64 bits.
        return _checked(lambda value: _is_number(value, int) and abs(value) < 2**63)
    if hint is types.NoneType:
        return _checked(lambda value: value is None)
    if origin is typing.Literal:
        return _checked(lambda value: isinstance(value, str) and value in arguments)
    if origin is tuple:
        item = _reader(arguments[0])
        return lambda value, name: (
            tuple([item(each, name) for each in value]) if isinstance(value, list) else _refuse(value, name)
        )
    if origin is types.UnionType or origin is typing.Union:
        known = _reader(next(option for option in arguments if option is not types.NoneType))
        return lambda value, name: None if value is None else known(value, name)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return lambda value, name: from_plain(hint, value)
    return _refuse


def _checked(
    fits: Callable[[Any], bool], convert: Callable[[Any], Any] = lambda value: value
) -> Callable[[Any, str], Any]:
    return lambda value, name: convert(value) if fits(value) else _refuse(value, name)


def _refuse(value: Any, name: str) -> NoReturn:
    raise ValueError(f"{name} has the wrong type or value: {_kind(value)}")


def _is_number(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _finite(number: float) -> bool:
    """Return True if the number fits into a float, because JSON's integers may be larger."""
    return abs(number) < 2**53 if isinstance(number, int) else math.isfinite(number)


def _kind(value: Any) -> str:
    """Return the JSON name of the value's type, and the value if it is short."""
    name = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
    shown = repr(value) if isinstance(value, (str, int, float)) and len(str(value)[:41]) <= 40 else ""
    return f"{name} {shown}".rstrip()


# Resolving type hints and defaults takes 20 µs or more: too slow for every turn.
_readers_of: dict[type, dict[str, Callable[[Any, str], Any]]] = {}
_defaults_of: dict[type, dict[str, Any]] = {}


def _readers(cls: type) -> dict[str, Callable[[Any, str], Any]]:
    if cls not in _readers_of:
        _readers_of[cls] = {name: _reader(hint) for name, hint in typing.get_type_hints(cls).items()}
    return _readers_of[cls]


def _defaults(cls: type) -> dict[str, Any]:
    """Return the default of each field; for required fields, a value that equals no other."""
    if cls not in _defaults_of:
        _defaults_of[cls] = {
            f.name: f.default if f.default is not dataclasses.MISSING else object()
            for f in dataclasses.fields(cls)
        }
    return _defaults_of[cls]
