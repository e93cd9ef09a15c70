"""Tables: columns where they fit, otherwise one record for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textual.content import Content

from spnl_tui.ui.chat.markdown.lines import Line, Origin, wrapped

_EMPTY = Content("")
_LINE_STYLE = "$foreground 30%"
_NARROWEST = 12
"""The cells that a column keeps for its longest word. Below that, the rows become records."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. Cells are wrapped if their column is too narrow."""

    rows: tuple[tuple[Content, ...], ...]
    """The first one is the head."""
    headless: bool = False
    """True if these rows continue a table whose head is shown above."""

    def lines(self, width: int) -> list[Line]:
        """Return the table in lines of at most `width` cells."""
        if not self._fits(width):
            return list(self._records(width))
        widths = _column_widths(self.rows, width)
        bar = Content.styled(" │ ", _LINE_STYLE)
        result = []
        for number, row in enumerate(self.rows):
            if self.headless and number == 0:
                continue
            origin = Origin("\t".join(cell.plain.replace("\n", " ") for cell in row))
            cells = [cell.wrap(size) or [_EMPTY] for cell, size in zip(row, widths, strict=True)]
            for at in range(max(map(len, cells))):
                parts = [cell[at] if at < len(cell) else _EMPTY for cell in cells]
                padded = [
                    part.pad_right(size - part.cell_length) for part, size in zip(parts, widths, strict=True)
                ]
                joined = bar.join(padded)
                content = joined.stylize("bold") if number == 0 else joined
                result.append(Line(content, origin=origin))
            if number == 0:
                rule = Content.styled("─┼─".join("─" * size for size in widths), _LINE_STYLE)
                result.append(Line(rule, end=0, joint="", origin=origin))
        return result

    def _fits(self, width: int) -> bool:
        """Return True if each column has room for its words, up to a limit."""
        least = _least_widths(self.rows)
        return sum(least) + 3 * (len(least) - 1) <= width

    def _records(self, width: int) -> Iterator[Line]:
        """Yield each row as lines "title: value", with an empty line between rows."""
        head, *rows = self.rows
        for number, row in enumerate(rows):
            if number:
                yield Line(_EMPTY)
            for title, cell in zip(head, row, strict=True):
                text = Content.assemble(title.stylize("bold"), ": ", cell) if title.plain else cell
                yield from wrapped(text, width)
        if not rows and not self.headless:
            yield from wrapped(Content(" │ ").join(head), width)


def _longest_word(cell: Content) -> int:
    return max((Content(word).cell_length for word in cell.plain.split()), default=1)


def _least_widths(rows: Sequence[Sequence[Content]]) -> list[int]:
    """Return the width that the longest word of each column needs, up to a limit."""
    return [min(_NARROWEST, max(map(_longest_word, column))) for column in zip(*rows, strict=True)]


def _column_widths(rows: Sequence[Sequence[Content]], width: int) -> list[int]:
    """Return the widths that the cells want. If they are too wide, the widest columns shrink.

    No column gets narrower than its least width; the least widths must fit.
    """
    widths = [max(1, *(cell.cell_length for cell in column)) for column in zip(*rows, strict=True)]
    least = _least_widths(rows)
    room = width - 3 * (len(widths) - 1)
    while sum(widths) > room:
        shrinkable = [column for column, size in enumerate(widths) if size > least[column]]
        widest = max(shrinkable, key=lambda column: widths[column])
        widths[widest] -= 1
    return widths
