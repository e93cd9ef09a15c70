"""Keys as the footer, menus and the help show them: "^N", "Alt+P", "F5", "Esc"."""

from __future__ import annotations

_NAMES = {"esc": "Esc", "pgup": "PgUp", "pgdn": "PgDn", "del": "Del", "delete": "Del", "tab": "Tab"}


def key_text(shown: str) -> str:
    """Return Textual's display of a key, such as "alt+p", "^n" or "f5", with capitals."""
    *held, last = shown.split("+") if len(shown) > 1 else [shown]
    if not last:  # the key "+" itself
        held, last = held[:-1], "+"
    if last in _NAMES or (last[:1] == "f" and last[1:].isdigit()):
        last = _NAMES.get(last, last.upper())
    elif (last[:1] == "^" and len(last) == 2) or (held and len(last) == 1):
        last = last.upper()
    elif len(last) > 1 and last.isalpha():
        last = last.capitalize()
    return "+".join([*(name.capitalize() for name in held), last])


def key_pair(one: str, other: str) -> str:
    """Return two keys, such as "Alt+←/→", without what they share."""
    held, plus, last = other.rpartition("+")
    if held and one.startswith(held + plus):
        return f"{one}/{last}"
    return "/".join(key for key in (one, other) if key)
