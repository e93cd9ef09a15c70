"""Tables of text, aligned and no wider than the terminal, for commands and panes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from spnl_tui.text import first_line

GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    title: str
    right: bool = False
    """True aligns the column to the right, as for numbers."""
    least: int | None = None
    """The width in cells that cutting must leave; None if the column is never cut."""
    rank: int = 0
    """If cutting is not enough, columns of the highest rank are dropped first; those of rank 0 stay."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return the lines of a table, its titles first, in at most `width` cells; None sets no limit."""
    return [GAP.join(cells).rstrip() for cells in fitted(columns, rows, width)[1]]


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None
) -> tuple[list[int], list[list[str]]]:
    """Return the indexes of the columns that fit, and their padded cells: the titles first, then the rows.

    The caller puts GAP between the cells.
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
        # Restore the widths that were cut for a column that was dropped anyway.
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
    """Return how many cells of a terminal the text takes, as Textual measures it."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit_name(name: str, width: int) -> str:
    """Return a name in exactly `width` cells, cut in its middle, because quantizations differ at the end."""
    if width < 2 or cell_width(name) <= width:
        return fit(name, width, right=False)
    head = _beginning(name, (width - 1) // 3)
    room = width - 1 - cell_width(head)
    start = bisect_left(range(len(name)), True, key=lambda start: cell_width(name[start:]) <= room)
    return fit(f"{head}…{name[start:]}", width, right=False)


def fit(text: str, width: int, *, right: bool) -> str:
    """Return the text in exactly `width` cells: cut with an ellipsis, or padded."""
    if width <= 0:
        return ""
    if cell_width(text) > width:
        text = f"{_beginning(text, width - 1)}…"
    padding = " " * (width - cell_width(text))
    return padding + text if right else text + padding


def _beginning(text: str, width: int) -> str:
    """Return the beginning that fits, without the joiner of a cut emoji."""
    count = bisect_right(range(1, len(text) + 1), width, key=lambda count: cell_width(text[:count]))
    return text[:count].removesuffix("\u200d")
