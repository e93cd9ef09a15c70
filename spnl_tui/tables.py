"""Tables of text: aligned, and as narrow as they must be. For the commands and the panes alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from spnl_tui.text import first_line

GAP = "  "


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
    return [GAP.join(cells).rstrip() for cells in fitted(columns, rows, width)[1]]


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> tuple[list[int], list[list[str]]]:
    """Which columns there is room for, and their cells, padded: the titles first, then the rows.

    GAP goes between them.
    """
    cells = [[first_line(cell, 500) for cell in row] for row in rows]
    shown = list(range(len(columns)))
    widths = [
        max(cell_width(column.title), *(cell_width(row[index]) for row in cells), 0)
        if cells
        else cell_width(column.title)
        for index, column in enumerate(columns)
    ]

    def excess() -> int:
        whole = sum(widths[index] for index in shown) + len(GAP) * (len(shown) - 1)
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
    return shown, [
        [fit(row[index], widths[index], right=columns[index].right) for index in shown]
        for row in [titles, *cells]
    ]


def cell_width(text: str) -> int:
    """How many cells of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def fit_name(name: str, width: int) -> str:
    """A name in exactly so many cells, cut in its middle: a quantization, or a file, is told by its end."""
    if width < 2 or cell_width(name) <= width:
        return fit(name, width, right=False)
    head = name
    while cell_width(head) > (width - 1) // 3:
        head = head[:-1]
    tail = name
    while cell_width(head) + 1 + cell_width(tail) > width:
        tail = tail[1:]
    return fit(f"{head}…{tail}", width, right=False)


def fit(text: str, width: int, *, right: bool) -> str:
    """The text in exactly so many cells: cut with an ellipsis, or padded."""
    if width <= 0:
        return ""
    if cell_width(text) > width:
        while cell_width(text) > width - 1:
            text = text[:-1]
        text += "…"
    padding = " " * (width - cell_width(text))
    return padding + text if right else text + padding
