"""Convert values from TOML, variables and flags to the types of the settings."""

from __future__ import annotations

import re
import types
import typing
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from spnl_tui.settings.nearest import did_you_mean
from spnl_tui.text import first_line

_YES = frozenset({"1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    Path: "a path in quotes",
}

_MODIFIERS = frozenset({"ctrl", "alt", "shift", "super", "meta", "hyper"})
_KEY_NAME = re.compile(r"[a-z0-9]|[a-z][a-z0-9_]+|[A-Z]|upper_[a-z]", re.ASCII)
# Textual's names for these keys differ from the Unicode names of the characters.
_TEXTUAL_NAMES = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}  # fmt: skip


class Unfit(Exception):
    """A value does not have the setting's type. `str()` names the expected type."""

    def __init__(self, wanted: str, hint: str = "") -> None:
        super().__init__(wanted)
        self.hint = hint


def hints_of(cls: type) -> dict[str, Any]:
    """Return the type of each field of a dataclass."""
    return typing.get_type_hints(cls)


def convert(hint: Any, value: Any, folder: Path) -> Any:
    """Return `value`, checked against a field's type. A relative path starts at `folder`.

    Raises:
        Unfit: the value has another type or is not one of the choices.
    """
    kind = _without_none(hint)
    if typing.get_origin(kind) is Literal:
        return _choice(typing.get_args(kind), value)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            (item_kind, *_) = typing.get_args(kind)
            return tuple(convert(item_kind, item, folder) if item_kind is Path else item for item in value)
        raise Unfit("it must be a list of texts.", 'Write it as ["one", "two"].')
    if typing.get_origin(kind) is Mapping:
        if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
            return dict(value)
        raise Unfit("it must be a table of texts.", 'Write it as { "X-Name" = "value" }.')
    if kind is Path and isinstance(value, (str, Path)) and str(value):
        return folder / Path(value).expanduser()
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # Compare types instead of using isinstance(), because True must not count as a number.
    if type(value) is kind:
        return value
    raise Unfit(f"it must be {_WORDS[kind]}.")


def from_text(hint: Any, text: str) -> Any:
    """Return the text of an environment variable as the type of the field that it sets.

    Raises:
        Unfit: the text cannot be read as that type.
    """
    kind = _without_none(hint)
    if kind is bool:
        if (folded := text.casefold()) in _YES | _NO:
            return folded in _YES
        raise Unfit(
            f"{first_line(text, 60)!r} is neither true nor false.",
            "Use 1, true, yes, on or 0, false, no, off.",
        )
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise Unfit(f"{first_line(text, 60)!r} is not {_WORDS[kind]}.") from None
    if typing.get_origin(kind) is Literal:
        return _choice(typing.get_args(kind), text)
    return Path(text) if kind is Path else text


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        (hint,) = (option for option in typing.get_args(hint) if option is not types.NoneType)
    return hint


def _choice(choices: tuple[str, ...], value: Any) -> str:
    by_folded = {choice.casefold(): choice for choice in choices}
    if isinstance(value, str) and value.casefold() in by_folded:
        return by_folded[value.casefold()]
    near = did_you_mean(value, choices) if isinstance(value, str) else ""
    raise Unfit(f"it must be one of {', '.join(choices)}.", near)


def normal_keys(value: Any) -> str:
    """Return the keys of one binding in Textual's names: "ctrl+s, ?" → "ctrl+s,question_mark".

    Raises:
        Unfit: the text is not a list of keys separated by commas.
    """
    if not isinstance(value, str) or not value.strip():
        raise Unfit("it must be keys in quotes.", 'Write keys as "ctrl+s" or "ctrl+s,f2".')
    return ",".join(_normal_key(key.strip()) for key in value.split(","))


def _normal_key(text: str) -> str:
    *modifiers, key = text.split("+") if text != "+" else (text,)
    if len(key) == 1 and not key.isalnum():
        name = re.sub("[ -]", "_", unicodedata.name(key, "").lower())
        key = _TEXTUAL_NAMES.get(name, name)
    wrong = [modifier for modifier in modifiers if modifier not in _MODIFIERS]
    if wrong:
        raise Unfit(
            f"{text!r}: {wrong[0]!r} is not a modifier.",
            did_you_mean(wrong[0], _MODIFIERS) or f"Modifiers are {', '.join(sorted(_MODIFIERS))}.",
        )
    if not _KEY_NAME.fullmatch(key):
        raise Unfit(
            f"{text!r} is not a key.",
            "Keys are named as in ctrl+s, shift+f5, escape, pageup, comma; run `textual keys` to see names.",
        )
    return "+".join((*modifiers, key))
