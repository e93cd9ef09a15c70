"""The settings as a list to edit: names, descriptions, values and where each value comes from."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from spnl_tui.errors import SettingsError
from spnl_tui.settings.all_settings import SECTIONS, Settings
from spnl_tui.settings.convert import Unfit, from_text, hints_of
from spnl_tui.settings.example import documented

SettingValue: TypeAlias = bool | int | float | str | list[str] | None
"""A value as the configuration file has it; None removes the setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One setting."""

    name: str
    """The full name, such as "chat.markdown"."""
    help: str
    value: Any
    default: Any
    source: str
    """The place where the value was set; "default" if nowhere."""
    hint: Any
    """The type of the value."""

    @property
    def choices(self) -> tuple[SettingValue, ...]:
        """The values to choose from; empty if the value is typed."""
        kind, optional = _without_none(self.hint)
        unset: tuple[SettingValue, ...] = (None,) if optional else ()
        if kind is bool:
            return (*unset, True, False)
        if typing.get_origin(kind) is Literal and len(typing.get_args(kind)) <= 6:
            return (*unset, *typing.get_args(kind))
        return ()

    @property
    def shown(self) -> str:
        """The value in words."""
        return shown(self.value)


def shown(value: Any) -> str:
    """Return a value in words."""
    match value:
        case None:
            return "not set"
        case True | False:
            return "yes" if value else "no"
        case tuple() | list():
            return ", ".join(map(str, value)) or "none"
        case "":
            return "empty"
        case _:
            return str(value)


def entries(settings: Settings) -> Iterator[Entry]:
    """Yield every setting with a fixed name except secrets, in the order of config.example.toml."""
    for section, cls in SECTIONS.items():
        hints, values = hints_of(cls), getattr(settings, section)
        for name, default, text in documented(cls):
            full = f"{section}.{name}"
            origin = settings.origins.get(full)
            yield Entry(
                name=full,
                help=text,
                value=getattr(values, name),
                default=default,
                source="default" if origin is None else str(origin),
                hint=hints[name],
            )


def typed_value(entry: Entry, text: str) -> SettingValue:
    """Return the value that the user typed; an empty text removes the setting.

    Raises:
        SettingsError: the text cannot be a value of this setting.
    """
    text = text.strip()
    if not text:
        return None
    kind, _ = _without_none(entry.hint)
    if typing.get_origin(kind) is tuple:
        return [part for each in text.split(",") if (part := each.strip())]
    try:
        value = from_text(kind, text)
    except Unfit as error:
        raise SettingsError(f"{entry.name} cannot have this value", str(error), error.hint) from error
    return str(value) if isinstance(value, Path) else typing.cast(SettingValue, value)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return the type of a value that is set, and True if it may be missing."""
    if isinstance(hint, types.UnionType):
        options = [each for each in typing.get_args(hint) if each is not types.NoneType]
        return options[0], len(options) < len(typing.get_args(hint))
    return hint, False
