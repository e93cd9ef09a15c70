"""Turns and conversations as plain JSON values, and back. Used by the store and by export.

Fields that are empty by default are not written. Other defaults are, because the version that reads may
have others. Every field that is read is checked, because the file may come from anyone: a value of the
wrong type is a ValueError that names the field; an unknown field is ignored, because a newer version may
have written it.
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
    """Return a dataclass as a dict without its empty fields, a tuple as a list, anything else unchanged."""
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
    """Return an instance of the dataclass `cls` from what `to_plain` returned for one.

    Raises:
        ValueError: a field is missing, of the wrong type, or out of its range.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"{cls.__name__} must be an object, not {_kind(plain)}")
    values = {name: read(plain[name], name) for name, read in _readers(cls).items() if name in plain}
    try:
        return cls(**values)
    except (TypeError, RequestError) as error:
        raise ValueError(f"{cls.__name__}: {error}") from error


def turn_to_plain(turn: Turn) -> dict[str, Any]:
    """Return a turn as JSON values: content that is one text as `text`, other content as `content`."""
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
    """Return the turn that `turn_to_plain` made these values of.

    Raises:
        ValueError: a field is missing, of the wrong type, or out of its range.
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
    """Return `to_plain` as compact JSON."""
    return json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"))


def _reader(hint: Any) -> Callable[[Any, str], Any]:
    """Return a function that checks a value for a field of type `hint`, or raises ValueError.

    Types are looked into once, not for each of ten thousand turns.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is str:
        return _checked(lambda value: isinstance(value, str), well_formed)
    if hint is float:
        # A whole number stays one, so that what is written again is the same.
        return _checked(lambda value: _is_number(value, (int, float)) and _finite(value))
    if hint is bool:
        return _checked(lambda value: isinstance(value, bool))
    if hint is int:
        # Within 64 bits: all that SQLite holds.
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
    """True if a float can hold the number: JSON has whole numbers of any size."""
    return abs(number) < 2**53 if isinstance(number, int) else math.isfinite(number)


def _kind(value: Any) -> str:
    """Return the JSON name of the type, and the value if it is short."""
    name = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}.get(
        type(value), "a number"
    )
    shown = repr(value) if isinstance(value, (str, int, float)) and len(str(value)[:41]) <= 40 else ""
    return f"{name} {shown}".rstrip()


# Resolving hints and defaults costs 20 µs and more: too much for every turn.
_readers_of: dict[type, dict[str, Callable[[Any, str], Any]]] = {}
_defaults_of: dict[type, dict[str, Any]] = {}


def _readers(cls: type) -> dict[str, Callable[[Any, str], Any]]:
    if cls not in _readers_of:
        _readers_of[cls] = {name: _reader(hint) for name, hint in typing.get_type_hints(cls).items()}
    return _readers_of[cls]


def _defaults(cls: type) -> dict[str, Any]:
    """Return the default of each field; for a field without one, a value that equals nothing else."""
    if cls not in _defaults_of:
        _defaults_of[cls] = {
            f.name: f.default if f.default is not dataclasses.MISSING else object()
            for f in dataclasses.fields(cls)
        }
    return _defaults_of[cls]
