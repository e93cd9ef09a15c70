"""Blocks of Markdown: each lays itself out in lines for one width."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Protocol

from textual.content import Content

from spnl_tui.ui.chat.markdown.formulas import to_unicode
from spnl_tui.ui.chat.markdown.lines import Line, Origin, folded, wrapped

if TYPE_CHECKING:
    from textual.highlight import HighlightTheme

_EMPTY = Content("")
_CODE_BACKGROUND = "on $foreground 6%"


class Block(Protocol):
    """A block that can be laid out."""

    def lines(self, width: int) -> list[Line]:
        """Return the block in lines of at most this many cells."""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph or a heading."""

    content: Content
    original: str | None = None
    """The text with formulas as they were written, if it has any."""

    def lines(self, width: int) -> list[Line]:
        """Return the text in lines of at most `width` cells."""
        origin = None if self.original is None else Origin(self.original)
        return list(wrapped(self.content, width, origin))


@dataclass(slots=True)
class Code:
    """A code block. Long lines are wrapped, because scrolling sideways would need a mouse."""

    code: str
    language: str
    _highlighted: Content | None = field(default=None, repr=False)

    def lines(self, width: int) -> list[Line]:
        """Return the code in lines of at most `width` cells."""
        if self._highlighted is None:
            self._highlighted = _highlight(self.code, self.language)
        return [
            self._line(piece, width, "" if number else "\n")
            for source_line in self._highlighted.split("\n", allow_blank=True)
            for number, piece in enumerate(folded(source_line, width - 4))
        ]

    def _line(self, piece: Content, width: int, joint: str) -> Line:
        padding = " " * (width - 2 - piece.cell_length)
        content = Content.assemble("  ", piece, padding).stylize_before(_CODE_BACKGROUND)
        return Line(content, before=2, end=2 + len(piece.plain), joint=joint)


@dataclass(frozen=True, slots=True)
class Formula:
    """A displayed formula, which may take several lines."""

    formula: str

    def lines(self, width: int) -> list[Line]:
        """Return the formula in lines of at most `width` cells."""
        origin = Origin(self.formula)
        return [
            Line(Content.assemble("  ", piece), before=2, joint="" if number else "\n", origin=origin)
            for row in to_unicode(self.formula, lines=True).split("\n")
            for number, piece in enumerate(folded(Content(row), width - 2))
        ]


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line."""

    def lines(self, width: int) -> list[Line]:
        """Return the line at this width."""
        return [Line(Content.styled("─" * width, "$foreground 30%"), origin=Origin("---"))]


def _highlight(code: str, language: str) -> Content:
    if not language:
        return Content(code)  # guessing takes long, and is often wrong
    from textual.highlight import highlight

    return highlight(code, language=language, theme=_code_theme(), tab_size=4)


@cache
def _code_theme() -> type[HighlightTheme]:
    from textual.highlight import HighlightTheme

    class CodeTheme(HighlightTheme):
        """Textual's, without its underlines, which are for links."""

        STYLES = {
            token: style.replace("underline", "").strip() for token, style in HighlightTheme.STYLES.items()
        }

    return CodeTheme
