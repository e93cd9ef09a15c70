"""Plain data that is cheap to declare.

The start declares dozens of kinds of events. A frozen dataclass compiles methods of its own for each class,
which takes half a millisecond; all records share the same functions.
"""

from __future__ import annotations

from inspect import get_annotations
from typing import Any, TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True)
def record(cls: type[_T]) -> type[_T]:
    """Make the annotated attributes of a class its fields, as in a frozen dataclass.

    A field may have an immutable default. A record has no base class, and is no dataclass to `dataclasses`.
    """
    fields = tuple(get_annotations(cls))
    defaults = {name: cls.__dict__[name] for name in fields if name in cls.__dict__}
    setattr(cls, "__match_args__", fields)  # noqa: B010  # mypy refuses an assignment
    setattr(cls, "_record_defaults", defaults)  # noqa: B010
    for method in (__init__, __setattr__, __repr__, __eq__, __hash__):
        setattr(cls, method.__name__, method)
    return cls


def __init__(self: Any, *values: object, **named: object) -> None:
    names = self.__match_args__
    given = {**self._record_defaults, **dict(zip(names, values, strict=False)), **named}
    if len(values) > len(names) or len(given) != len(names) or not given.keys() >= set(names):
        raise TypeError(f"{type(self).__name__} has the fields {', '.join(names)}")
    self.__dict__.update(given)


def __setattr__(self: Any, name: str, value: object) -> None:
    raise AttributeError(f"{type(self).__name__} cannot be changed")


def __repr__(self: Any) -> str:
    fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__name__}({fields})"


def __eq__(self: Any, other: Any) -> bool:
    return type(self) is type(other) and self.__dict__ == other.__dict__


def __hash__(self: Any) -> int:
    return hash((type(self), *self.__dict__.values()))
