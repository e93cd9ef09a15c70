"""Cuts Markdown that is still growing into finished pieces and an open tail. Pure: no Textual.

In CommonMark a block is closed for good when the next one on its level begins (spec 0.31, "Phase 1: block
structure"), so each need be parsed in full only once. Long lists are cut between their items, long code
between its lines. A piece may look a little different by itself; the finished reply is parsed anew, whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LISTS = ("bullet_list_open", "ordered_list_open")
_ITEMS_TOGETHER = 5
_CODE_LINES_TOGETHER = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """Markdown that is finished: some whole blocks, items of a list, or lines of code in a fence."""

    source: str
    continues: bool = False
    """The next piece is more of the same list or code."""


@cache
def _block_parser() -> MarkdownIt:
    """Block structure only: inline text costs most, and does not matter for where blocks end."""
    from markdown_it import MarkdownIt

    return MarkdownIt("gfm-like").disable(["inline", "linkify", "replacements", "smartquotes"], True)


def prepare() -> None:
    """Do ahead what the first text would wait for: a tenth of a second of imports. May run in a thread."""
    _block_parser()


class MarkdownSplitter:
    """Takes a Markdown text in chunks and gives finished pieces; `tail` is what is not finished."""

    def __init__(self) -> None:
        self.tail = ""

    def feed(self, chunk: str) -> list[Piece]:
        """The pieces that this chunk finishes, in their order."""
        self.tail += chunk
        if "\n" not in chunk:
            return []
        # An unfinished line may still turn out as something else: "#" is a heading, "#5" is not.
        complete = self.tail[: self.tail.rindex("\n") + 1]
        unfinished = self.tail[len(complete) :]
        lines = _lines(complete)
        tokens = _block_parser().parse(complete)
        blocks = [token for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
        if not blocks:
            return []

        last = blocks[-1]
        start, end = _span(last)
        pieces = [Piece("".join(lines[:start]))] if start else []
        if last.type == "fence" and _is_closed(last, lines):
            pieces.append(Piece("".join(lines[start:end])))
            self.tail = "".join(lines[end:]) + unfinished
        elif last.type == "fence" and end - start > _CODE_LINES_TOGETHER:
            fence = lines[start]
            pieces.append(Piece("".join((*lines[start:end], last.markup, "\n")), continues=True))
            self.tail = fence + unfinished
        else:
            cut = start
            if last.type in _LISTS:
                items = [
                    _span(token)[0] for token in tokens if token.type == "list_item_open" and token.level == 1
                ]
                items = [line for line in items if line >= start]
                if len(items) > _ITEMS_TOGETHER:
                    cut = items[-1]
                    pieces.append(Piece("".join(lines[start:cut]), continues=True))
            self.tail = "".join(lines[cut:]) + unfinished
        return [piece for piece in pieces if piece.source.strip()]


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
    tokens = _block_parser().parse(source, environment)
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
        for token in _block_parser().parse(source)
        if token.type in ("fence", "code_block")
    ]
