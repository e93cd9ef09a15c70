"""Reads fields of a JSON request, and refuses those of the wrong type by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, overload

from spnl_tui.server.errors import ApiError

_T = TypeVar("_T")
_NAMES: Mapping[type, str] = {
    str: "a string", int: "a whole number", float: "a number", bool: "true or false",
    list: "a list", dict: "an object",
}  # fmt: skip


@overload
def take(body: Mapping[str, Any], name: str, kind: type[_T], default: _T) -> _T: ...
@overload
def take(body: Mapping[str, Any], name: str, kind: type[_T], default: None = None) -> _T | None: ...
def take(body: Mapping[str, Any], name: str, kind: type[Any], default: Any = None) -> Any:
    """Return a field of the body; the default if it is missing or null.

    Raises:
        ApiError: it has another type.
    """
    if (value := body.get(name)) is None:
        return default
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ApiError(400, f"{name} must be {_NAMES[kind]}.", param=name)
    return value


def need(body: Mapping[str, Any], name: str, kind: type[_T], within: str = "") -> _T:
    """Return a field that must be there. `within` names what it is a field of, in errors.

    Raises:
        ApiError: it is missing, or has another type.
    """
    if (value := take(body, name, kind)) is None:
        raise ApiError(400, f"{within}{name} is missing.", param=f"{within}{name}")
    return value


def texts(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a field that is a string, a list of strings, or missing.

    Raises:
        ApiError: it is something else.
    """
    value = body.get(name)
    if isinstance(value, str):
        return (value,)
    if value is None:
        return ()
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise ApiError(400, f"{name} must be a string or a list of strings.", param=name)
