"""Turns and conversations as plain JSON values, and back. Used by the store and by export.

What is written leaves out fields that are empty by default, but no other defaults: those may be others in the
version that reads. What is read is checked field by field, since
it may come from anyone: a value of the wrong type is a ValueError that names the field, an unknown field is
ignored (a newer version may have written it).
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from typing import Any, TypeVar

from spnl_tui.errors import RequestError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """A frozen dataclass as a dict without its empty fields, a tuple as a list; anything else as it is."""
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
    """An instance of the dataclass `cls` from what `to_plain` made of one.

    Raises:
        ValueError: a field is missing, of the wrong type, or out of its range.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"{cls.__name__} must be an object, not {_kind(plain)}")
    hints = _hints(cls)
    values = {name: _read(hint, plain[name], name) for name, hint in hints.items() if name in plain}
    try:
        return cls(**values)
    except (TypeError, RequestError) as error:
        raise ValueError(f"{cls.__name__}: {error}") from error


def to_json(value: Any) -> str:
    """Compact JSON of `to_plain`."""
    return json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"))


def well_formed(text: str) -> str:
    """The text with lone surrogates replaced: neither UTF-8 nor SQLite can hold them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _read(hint: Any, value: Any, name: str) -> Any:
    """`value` as the type `hint` says, or ValueError."""
    if hint is str and isinstance(value, str):
        return well_formed(value)
    # A whole number stays one, so that what is written again is the same.
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool) and _finite(value):
        return value
    if hint is bool and isinstance(value, bool):
        return value
    # Within 64 bits: all that SQLite holds.
    if hint is int and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return value
    if hint is types.NoneType and value is None:
        return None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal and isinstance(value, str) and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], item, name) for item in value)
    if origin is types.UnionType or origin is typing.Union:
        for option in arguments:
            if (option is types.NoneType) == (value is None):
                return _read(option, value, name)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return from_plain(hint, value)
    raise ValueError(f"{name} has the wrong type or value: {_kind(value)}")


def _finite(number: float) -> bool:
    """Whether a float can hold it: JSON has whole numbers of any size."""
    return abs(number) < 2**53 if isinstance(number, int) else math.isfinite(number)


def _kind(value: Any) -> str:
    """The JSON name of the type, and the value where it is short."""
    name = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}.get(
        type(value), "a number"
    )
    shown = repr(value) if isinstance(value, (str, int, float)) and len(str(value)[:41]) <= 40 else ""
    return f"{name} {shown}".rstrip()


# Resolving hints and defaults costs 20 µs and more: too much for every turn.
_hints_of: dict[type, dict[str, Any]] = {}
_defaults_of: dict[type, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    if cls not in _hints_of:
        _hints_of[cls] = typing.get_type_hints(cls)
    return _hints_of[cls]


def _defaults(cls: type) -> dict[str, Any]:
    """Each field's default; for a field without one, a value that equals nothing else."""
    if cls not in _defaults_of:
        _defaults_of[cls] = {
            f.name: f.default if f.default is not dataclasses.MISSING else object()
            for f in dataclasses.fields(cls)
        }
    return _defaults_of[cls]
