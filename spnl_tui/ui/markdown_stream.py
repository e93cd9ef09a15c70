"""Cuts Markdown that is still growing into finished pieces and an open tail. Pure: no Textual.

Rendering a whole reply anew for every token costs more and more. In CommonMark a block is closed for good
when the next one on its level begins (spec 0.31, "Phase 1: block structure"), so each piece need be rendered
only once, from its complete source. Long lists are cut between their items.
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
"""List items for one piece: fewer make more widgets, more make the user wait for the good view."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Markdown that is finished: some whole blocks, or some whole items of a list."""

    source: str
    continues: bool = False
    """The next piece is more of the same list."""


@cache
def parser() -> MarkdownIt:
    """The parser of replies. Making one takes milliseconds, so there is one for all."""
    from markdown_it import MarkdownIt

    return MarkdownIt("gfm-like")


@cache
def _block_parser() -> MarkdownIt:
    """Block structure only: inline text costs most, and does not matter for where blocks end."""
    from markdown_it import MarkdownIt

    return MarkdownIt("gfm-like").disable(["inline", "linkify", "replacements", "smartquotes"], True)


class MarkdownSplitter:
    """Takes a Markdown text in chunks and gives finished pieces; `tail` is what is not finished."""

    def __init__(self) -> None:
        self.tail = ""
        self.has_references = False
        """The text defines link references (`[name]: url`), which change blocks that came before."""

    def feed(self, chunk: str) -> list[Piece]:
        """The pieces that this chunk finishes, in their order."""
        self.tail += chunk
        if "\n" not in chunk:
            return []
        # An unfinished line may still turn out as something else: "#" is a heading, "#5" is not.
        lines = self.tail[: self.tail.rindex("\n") + 1].splitlines(keepends=True)
        environment: dict[str, Any] = {}
        tokens = _block_parser().parse("".join(lines), environment)
        self.has_references = self.has_references or bool(environment.get("references"))

        pieces = []
        cut = 0
        blocks = [token for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
        if blocks and (start := _start(blocks[-1])) > 0:
            pieces.append(Piece("".join(lines[:start])))
            cut = start
        if blocks and blocks[-1].type in _LISTS:
            items = [token for token in tokens if token.type == "list_item_open" and token.level == 1]
            # Only the items of the last block: an earlier list has been cut off with its block.
            items = [item for item in items if _start(item) >= cut]
            if len(items) > _ITEMS_TOGETHER:
                pieces.append(Piece("".join(lines[cut : _start(items[-1])]), continues=True))
                cut = _start(items[-1])
        self.tail = self.tail[sum(map(len, lines[:cut])) :]
        return [piece for piece in pieces if piece.source.strip()]


def _start(token: Token) -> int:
    assert token.map is not None
    return token.map[0]


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
