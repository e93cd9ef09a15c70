"""Text for the terminal: make foreign text (models, files, hubs) safe to show; format sizes and times."""

from __future__ import annotations

import math

# Control characters could move the cursor, change colours or write to the clipboard; lone surrogates cannot
# be encoded. Newlines and tabs are text.
_REMOVED = dict.fromkeys(c for c in (*range(0x20), *range(0x7F, 0xA0)) if chr(c) not in "\n\t")
_TABLE: dict[int, str | None] = {**_REMOVED, **dict.fromkeys(range(0xD800, 0xE000), "\ufffd")}
# Bidirectional embeddings, overrides and isolates reorder the text, so a file name can pose as another.
_SHOWN_TABLE = {**_TABLE, **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))}


def plain(text: str) -> str:
    """Return the text for display: no control characters, and none that change the writing direction.

    Every line ending becomes a newline.
    """
    return text if text.isprintable() else _with_newlines(text).translate(_SHOWN_TABLE)


def without_controls(text: str) -> str:
    """Return the text to store or pass on: like `plain`, but keep characters that change the direction."""
    return text if text.isprintable() else _with_newlines(text).translate(_TABLE)


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def first_line(text: str, length: int) -> str:
    """Return the text on one line of at most this many characters, for titles and hints."""
    line = " ".join(plain(text).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def in_bytes(count: float) -> str:
    """Return a size in decimal units, as disks and the hub use them: "98.4 MB"."""
    if count < 1000:
        return f"{count:.0f} B"
    power = min(int(math.log10(count) / 3 + 1e-9), 4)
    return f"{count / 1000**power:.1f} {'kMGT'[power - 1]}B"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: "52 s", "3 min 07 s", "2 h 05 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def well_formed(text: str) -> str:
    """Replace lone surrogates, which neither UTF-8 nor SQLite can hold."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
