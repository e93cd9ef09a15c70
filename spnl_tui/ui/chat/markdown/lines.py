"""Lines on the screen that know their original text, so that copying leaves wraps and decorations out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.cells import cell_len
from textual.content import Content

_JOINER = "\u200d"
_CELL_BORDER = re.compile(r" *│ *")


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """The original of several lines that are shown in another form, such as a formula or a row of a table."""

    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a block."""

    content: Content
    before: int = 0
    """Characters of decoration before the text: indentation, bullets, bars."""
    end: int | None = None
    """The characters after which padding follows; None if the line has none."""
    joint: str = "\n"
    """Joins the text to that of the line above: " " or "" within a wrapped line."""
    origin: Origin | None = None
    """Replaces the text of all lines with this origin if they are copied in full."""

    def behind(self, prefix: Content, kept: int = 0) -> Line:
        """Return the line behind a decoration, of which the last `kept` characters belong to the text."""
        added = len(prefix.plain)
        if not added:
            return self
        end = None if self.end is None else self.end + added
        before = self.before + added - (kept if not self.before else 0)
        return replace(self, content=prefix + self.content, before=before, end=end)


def wrapped(content: Content, width: int, origin: Origin | None = None) -> Iterator[Line]:
    """Yield a text in lines of at most `width` cells."""
    for source in content.split("\n", allow_blank=True):
        text, at = source.plain, 0
        for number, piece in enumerate(source.wrap(width) or [Content("")]):
            spaces = len(text) - at - len(text[at:].lstrip(" "))
            joint = "\n" if number == 0 else " " if spaces else ""
            at += (spaces if number else 0) + len(piece.plain)
            yield Line(piece, joint=joint, origin=origin)


def folded(content: Content, width: int) -> list[Content]:
    """Return a line in pieces of at most `width` cells (at least two), cut at any character.

    `Content.fold` of Textual 8.2.8 drops the rest of a line after a piece with combining characters.
    """
    text, width = content.plain, max(2, width)
    if text.isascii():
        starts = list(range(0, len(text), width)) or [0]
    else:
        starts, cells = [0], 0
        for at, character in enumerate(text):
            size = cell_len(character)
            if cells + size > width and text[at - 1] != _JOINER:
                starts.append(at)
                cells = 0
            cells += size
    return [content[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def selected_text(lines: Sequence[Line], start: tuple[int, int], stop: tuple[int, int]) -> str:
    """Return the original text between two places, each a line and a character on the screen."""
    taken: list[tuple[Line, int, int]] = []
    for number in range(start[0], min(stop[0], len(lines) - 1) + 1):
        line = lines[number]
        end = len(line.content.plain) if line.end is None else line.end
        first = max(line.before, start[1] if number == start[0] else 0)
        last = min(end, stop[1] if number == stop[0] else end)
        taken.append((line, first, max(first, last)))
    text = ""
    for origin, group in groupby(taken, key=lambda each: each[0].origin):
        pieces = list(group)
        if origin is not None and _is_whole(lines, origin, pieces):
            text += (pieces[0][0].joint if text else "") + origin.text
            continue
        for line, first, last in pieces:
            piece = line.content.plain[first:last]
            if line is not taken[0][0]:
                text += line.joint
            text += piece if origin is None else _CELL_BORDER.sub("\t", piece).strip()
    return text


def _is_whole(lines: Sequence[Line], origin: Origin, pieces: Sequence[tuple[Line, int, int]]) -> bool:
    """Return True if all lines with this origin are selected in full."""
    count = sum(line.origin is origin for line in lines)
    return len(pieces) == count and all(
        first == line.before and last == (len(line.content.plain) if line.end is None else line.end)
        for line, first, last in pieces
    )
