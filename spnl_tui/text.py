"""Text that others wrote (models, files, hubs), made safe to show in a terminal."""

from __future__ import annotations

# Control characters could move the cursor, change colours or write to the clipboard; lone surrogates cannot
# be encoded. Newlines and tabs are text.
_REMOVED = dict.fromkeys(c for c in (*range(0x20), *range(0x7F, 0xA0)) if chr(c) not in "\n\t")
_TABLE: dict[int, str | None] = {**_REMOVED, **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")}


def plain(text: str) -> str:
    """The text without control characters; every kind of line end is a newline."""
    if text.isprintable():
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_TABLE)


def first_line(text: str, length: int) -> str:
    """The text in one line of at most this many characters, for titles and hints."""
    line = " ".join(plain(text).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"
