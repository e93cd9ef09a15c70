"""Text of several lines, arranged side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from spnl_tui.ui.chat.markdown.formulas.symbols import TALL


class Box(NamedTuple):
    """Text of several lines. The line `axis` is in one row with the neighbours of the box."""

    lines: tuple[str, ...]
    axis: int = 0


def beside(boxes: Sequence[Box]) -> Box:
    """Return boxes side by side, with their axes in one row."""
    boxes = [box for box in boxes if box.lines != ("",)] or [Box(("",))]
    above = max(box.axis for box in boxes)
    below = max(len(box.lines) - box.axis for box in boxes)
    lines = [""] * (above + below)
    for box in boxes:
        width = max(map(len, box.lines))
        for at in range(len(lines)):
            inside = at - above + box.axis
            lines[at] += (box.lines[inside] if 0 <= inside < len(box.lines) else "").ljust(width)
    return Box(tuple(lines), above)


def stacked(lines: Sequence[str]) -> Box:
    return Box(tuple(lines) or ("",))


def padded(box: Box, width: int) -> Box:
    return Box(tuple(line.rjust(width) for line in box.lines), box.axis)


def bracket(sign: str, at: int, count: int) -> str:
    """Return the line `at` of a bracket of this height."""
    if not sign.strip():
        return ""
    parts = TALL[sign]
    return parts[0] if at == 0 else parts[2] if at == count - 1 else parts[1]
