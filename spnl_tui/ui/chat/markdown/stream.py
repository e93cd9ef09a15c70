"""Cuts Markdown that is still growing into finished pieces and an open tail. Pure: no Textual.

In CommonMark a block is closed for good when the next one on its level begins (spec 0.31, "Phase 1: block
structure"), so each one is parsed in full only once. Long lists are cut between their items; code, tables,
paragraphs and quotes are cut between their lines. A long block without a place for a cut is parsed again only
when it has grown by an eighth, so the cost of a reply stays proportional to its length. A piece may look a
little different by itself; the finished reply is parsed once more, whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spnl_tui.ui.chat.markdown.parser import block_parser

if TYPE_CHECKING:
    from markdown_it.token import Token

_LISTS = ("bullet_list_open", "ordered_list_open")
_ITEMS_TOGETHER = 5
_LINES_TOGETHER = 20
_LARGE_TAIL = 4000
"""Characters."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Markdown that is finished: some whole blocks, or a part of a long one."""

    source: str
    continues: bool = False
    """The next piece is more of the same block."""
    headless: bool = False
    """It begins with a table whose head is in an earlier piece."""


def prepare() -> None:
    """Do ahead what the first text would wait for: a tenth of a second of imports. May run in a thread."""
    block_parser()


class MarkdownSplitter:
    """Takes a Markdown text in chunks and gives finished pieces; `tail` is what is not finished."""

    def __init__(self) -> None:
        self.tail = ""
        self.headless = False
        """True if the tail begins with a table whose head is in an earlier piece."""
        self._added = 0
        """Characters that came since the tail was last worth looking at."""

    @property
    def due(self) -> bool:
        """True if the tail is worth parsing again."""
        return len(self.tail) <= _LARGE_TAIL or self._added >= len(self.tail) // 8

    def feed(self, chunk: str) -> list[Piece]:
        """The pieces that this chunk finishes, in their order."""
        if self.due:
            self._added = 0
        self.tail += chunk
        self._added += len(chunk)
        if not self.due:
            return []
        if "\n" not in self.tail:
            return self._cut_line()
        # An unfinished line may still turn out as something else: "#" is a heading, "#5" is not.
        complete = self.tail[: self.tail.rindex("\n") + 1]
        unfinished = self.tail[len(complete) :]
        if "\n" not in chunk and len(self.tail) <= _LARGE_TAIL:
            return []
        lines = _lines(complete)
        tokens = block_parser().parse(complete)
        blocks = [token for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
        if not blocks:
            return []

        last = blocks[-1]
        start, end = _span(last)
        pieces = [Piece("".join(lines[:start]), headless=self.headless)] if start else []
        headless, self.headless = self.headless and not start, False
        if last.type == "fence" and _is_closed(last, lines):
            pieces.append(Piece("".join(lines[start:end])))
            self.tail = "".join(lines[end:]) + unfinished
        elif last.type == "fence" and end - start > _LINES_TOGETHER:
            fence = lines[start]
            pieces.append(Piece("".join((*lines[start:end], last.markup, "\n")), continues=True))
            self.tail = fence + unfinished
        elif last.type == "table_open" and end == len(lines) and end - start > _LINES_TOGETHER:
            pieces.append(Piece("".join(lines[start:end]), continues=True, headless=headless))
            self.tail = "".join(lines[start : start + 2]) + unfinished
            self.headless = True
        else:
            cut = _cut(last, tokens, lines)
            if cut > start:
                pieces.append(Piece("".join(lines[start:cut]), continues=True))
            self.headless = headless
            self.tail = "".join(lines[cut:]) + unfinished
        return [piece for piece in pieces if piece.source.strip()]

    def _cut_line(self) -> list[Piece]:
        """Cut an endless line at a space."""
        if len(self.tail) <= _LARGE_TAIL:
            return []
        at = self.tail.rfind(" ", _LARGE_TAIL // 2) + 1 or len(self.tail)
        piece, self.tail = self.tail[:at], self.tail[at:]
        return [Piece(piece, continues=True)] if piece.strip() else []


def _cut(block: Token, tokens: list[Token], lines: list[str]) -> int:
    """The line at which a long block can be cut, else its first."""
    start, end = _span(block)
    inside = [_span(t)[0] for t in tokens if t.level == 1 and t.map and t.nesting > 0 and t.map[0] >= start]
    if block.type in _LISTS:
        return inside[-1] if len(inside) > _ITEMS_TOGETHER else start
    if end - start <= _LINES_TOGETHER or end < len(lines):
        return start
    if block.type == "blockquote_open":
        # At its last line only if that is text: a line of code would be text without its fence.
        leaf = next((token for token in reversed(tokens) if token.map and token.nesting >= 0), block)
        if leaf.type == "inline" and block.level + 2 == leaf.level and lines[end - 1].startswith(">"):
            return end - 1
        return inside[-1] if inside and lines[inside[-1]].startswith(">") else start
    return end - 1 if block.type in ("paragraph_open", "code_block", "html_block") else start


def _lines(text: str) -> list[str]:
    # Not splitlines: to Markdown, U+2028 and its like do not end a line.
    return [line + "\n" for line in text.removesuffix("\n").split("\n")]


def _span(token: Token) -> tuple[int, int]:
    assert token.map is not None
    return token.map[0], token.map[1]


def _is_closed(fence: Token, lines: list[str]) -> bool:
    start, end = _span(fence)
    closing = lines[end - 1].strip()
    return end - 1 > start and len(closing) >= len(fence.markup) and not closing.strip(fence.markup[0])


def whole_blocks(source: str, least_lines: int) -> tuple[list[str], dict[str, Any]]:
    """The text cut between top-level blocks, into parts of at least so many lines; and its link references,
    which one part may define and another use."""
    lines = _lines(source)
    environment: dict[str, Any] = {}
    tokens = block_parser().parse(source, environment)
    starts = [_span(token)[0] for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
    cuts = [0]
    for start in starts:
        if start - cuts[-1] >= least_lines:
            cuts.append(start)
    parts = ["".join(lines[a:b]) for a, b in zip(cuts, [*cuts[1:], len(lines)], strict=True)]
    return parts, environment.get("references", {})


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced or indented code block."""

    language: str
    code: str


def code_blocks(source: str) -> list[CodeBlock]:
    """The code blocks of a Markdown text, in their order."""
    return [
        CodeBlock(token.info.split()[0] if token.info.strip() else "", token.content.rstrip("\n"))
        for token in block_parser().parse(source)
        if token.type in ("fence", "code_block")
    ]
