"""Tables of text: aligned, as narrow as the terminal, whole where they are piped."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from spnl_tui.headless.output import colour
from spnl_tui.text import first_line

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    right: bool = False
    """Aligned to the right: for numbers."""
    least: int | None = None
    """May be cut to this many cells where space is short; None: never cut."""
    rank: int = 0
    """Where cutting is not enough, columns of the highest rank are left out first; those of rank 0 stay."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The lines of a table, its titles first, in at most `width` cells; None: as wide as it comes."""
    cells = [[first_line(cell, 500) for cell in row] for row in rows]
    shown = list(range(len(columns)))
    widths = [
        max(cell_width(column.title), *(cell_width(row[index]) for row in cells), 0)
        if cells
        else cell_width(column.title)
        for index, column in enumerate(columns)
    ]

    def excess() -> int:
        whole = sum(widths[index] for index in shown) + len(_GAP) * (len(shown) - 1)
        return 0 if width is None else max(0, whole - width)

    while excess():
        for index in shown:
            least = columns[index].least
            if least is not None:
                widths[index] = max(min(widths[index], least), widths[index] - excess())
        droppable = [index for index in shown if columns[index].rank]
        if not excess() or not droppable:
            break
        shown.remove(max(droppable, key=lambda index: columns[index].rank))
        # What was cut to keep a column that had to go after all gets its room back.
        for index in shown:
            widths[index] = max(
                [cell_width(columns[index].title), *(cell_width(row[index]) for row in cells)]
            )
    titles = [column.title for column in columns]
    return [
        _GAP.join(_fit(row[index], widths[index], columns[index].right) for index in shown).rstrip()
        for row in [titles, *cells]
    ]


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], stream: TextIO | None = None
) -> None:
    """Print a table as suits the stream: bold titles and no more than its width on a terminal only."""
    stream = stream or sys.stdout
    lines = table(columns, rows, terminal_width(stream))
    if colour(stream):
        lines[0] = f"\x1b[1m{lines[0]}\x1b[0m"
    print("\n".join(lines), file=stream)


def terminal_width(stream: TextIO) -> int | None:
    """Cells in a line of the terminal; None if the stream is none."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def cell_width(text: str) -> int:
    """How many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _fit(text: str, width: int, right: bool) -> str:
    if cell_width(text) > width:
        while cell_width(text) > width - 1:
            text = text[:-1]
        text += "…"
    padding = " " * (width - cell_width(text))
    return padding + text if right else text + padding
