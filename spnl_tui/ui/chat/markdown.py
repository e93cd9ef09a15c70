"""Markdown as lines of content, for one width. No widgets, no state.

Textual's Markdown makes widgets: four for every list item. Every addition to a reply then costs a layout
of hundreds of widgets, and a list of a hundred items half a second. Here a text becomes blocks, and blocks
become lines, which one widget can show. What a link, an image or HTML would do is not done: a model wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from textual.content import Content

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode
    from textual.highlight import HighlightTheme

_EMPTY = Content("")
_CODE_BACKGROUND = "on $foreground 6%"
_INLINE = {"strong": "bold", "em": "italic", "s": "strike", "link": "underline"}


@cache
def parser() -> MarkdownIt:
    """The parser of replies. To import and make it takes a tenth of a second: it waits for the first one."""
    from markdown_it import MarkdownIt

    return MarkdownIt("gfm-like")


class Block(Protocol):
    """Something that can be laid out."""

    def lines(self, width: int) -> list[Content]:
        """The block in lines of at most this many cells."""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph or a heading."""

    content: Content

    def lines(self, width: int) -> list[Content]:
        return self.content.wrap(width)


@dataclass(slots=True)
class Code:
    """A code block. Long lines are wrapped: to scroll sideways would need a mouse."""

    code: str
    language: str
    _highlighted: Content | None = field(default=None, repr=False)

    def lines(self, width: int) -> list[Content]:
        if self._highlighted is None:
            self._highlighted = _highlight(self.code, self.language)
        inner = max(1, width - 4)
        return [
            Content.assemble("  ", line, " " * (width - 2 - line.cell_length)).stylize_before(
                _CODE_BACKGROUND
            )
            for source_line in self._highlighted.split("\n", allow_blank=True)
            for line in (source_line.fold(inner) or [_EMPTY])
        ]


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line."""

    def lines(self, width: int) -> list[Content]:
        return [Content.styled("─" * width, "$foreground 30%")]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; cells are wrapped when there is not enough room."""

    rows: tuple[tuple[Content, ...], ...]
    """The first one is the head."""

    def lines(self, width: int) -> list[Content]:
        widths = _column_widths(self.rows, width)
        bar = Content.styled(" │ ", "$foreground 30%")
        result = []
        for number, row in enumerate(self.rows):
            cells = [cell.wrap(size) or [_EMPTY] for cell, size in zip(row, widths, strict=True)]
            for line in range(max(map(len, cells))):
                parts = [cell[line] if line < len(cell) else _EMPTY for cell in cells]
                padded = [
                    part.pad_right(size - part.cell_length) for part, size in zip(parts, widths, strict=True)
                ]
                joined = bar.join(padded)
                result.append(joined.stylize("bold") if number == 0 else joined)
            if number == 0:
                result.append(Content.styled("─┼─".join("─" * size for size in widths), "$foreground 30%"))
        return result


def _column_widths(rows: Sequence[Sequence[Content]], width: int) -> list[int]:
    """As wide as the cells want; if that is too wide, the widest columns give."""
    widths = [max(1, *(cell.cell_length for cell in column)) for column in zip(*rows, strict=True)]
    room = max(len(widths), width - 3 * (len(widths) - 1))
    while (excess := sum(widths) - room) > 0:
        widest = max(widths)
        second = max((size for size in widths if size < widest), default=1)
        count = widths.count(widest)
        # All of the widest come down to the next one, or as far as is needed.
        cut = max(1, min(widest - second, -(-excess // count)))
        widths = [size - cut if size == widest else size for size in widths]
    return widths


@dataclass(frozen=True, slots=True)
class Placed:
    """A block in its place: what stands before its lines, and below it."""

    block: Block
    first: Content = _EMPTY
    rest: Content = _EMPTY
    gap: Content | None = _EMPTY
    """An empty line after the block, with what stands in it; None: no such line."""


def layout(blocks: Iterable[Placed], width: int) -> list[Content]:
    """The blocks as lines of at most `width` cells."""
    lines = []
    for placed in blocks:
        before = placed.first
        for line in placed.block.lines(max(1, width - placed.rest.cell_length)):
            lines.append(before + line if before.plain else line)
            before = placed.rest
        if placed.gap is not None:
            lines.append(placed.gap)
    return lines


def parse(
    source: str, *, continues: bool = False, references: Mapping[str, Any] | None = None
) -> list[Placed]:
    """The blocks of a Markdown text.

    `continues`: its last list or code goes on in another text. `references`: links that another text defines.
    """
    from markdown_it.tree import SyntaxTreeNode

    blocks: list[Placed] = []
    for node in SyntaxTreeNode(parser().parse(source, {"references": dict(references or {})})).children:
        blocks += _place(node, _EMPTY, _EMPTY)
    if continues and blocks and not _is_loose(source):
        blocks[-1] = replace(blocks[-1], gap=None)
    return blocks


def _is_loose(source: str) -> bool:
    """Whether the items of a list are apart."""
    return source.endswith("\n\n")


def _place(node: SyntaxTreeNode, first: Content, rest: Content) -> Iterator[Placed]:
    match node.type:
        case "paragraph":
            yield Placed(Text(_inline(node)), first, rest, rest)
        case "heading":
            style = "bold $primary" if node.tag in ("h1", "h2") else "bold"
            yield Placed(Text(_inline(node).stylize_before(style)), first, rest, rest)
        case "bullet_list" | "ordered_list":
            yield from _place_list(node, first, rest)
        case "blockquote":
            bar = Content.styled("▌ ", "$primary 60%")
            inside = list(_place_children(node, first + bar, rest + bar))
            yield from inside[:-1]
            yield from (replace(last, gap=rest) for last in inside[-1:])
        case "fence" | "code_block":
            language = node.info.split()[0] if node.info.strip() else ""
            yield Placed(Code(node.content.rstrip("\n"), language), first, rest, rest)
        case "hr":
            yield Placed(Rule(), first, rest, rest)
        case "table":
            rows = tuple(
                tuple(_inline(cell) for cell in row.children)
                for part in node.children
                for row in part.children
            )
            yield Placed(Table(rows), first, rest, rest)
        case _:
            yield Placed(Text(Content(node.content.rstrip("\n"))), first, rest, rest)


def _place_children(node: SyntaxTreeNode, first: Content, rest: Content) -> Iterator[Placed]:
    for number, child in enumerate(node.children):
        yield from _place(child, first if number == 0 else rest, rest)


def _place_list(node: SyntaxTreeNode, first: Content, rest: Content) -> Iterator[Placed]:
    ordered = node.type == "ordered_list"
    start = int(node.attrs.get("start", 1)) if ordered else 0
    size = len(f"{start + len(node.children) - 1}. ") if ordered else 2
    tight = all(
        child.hidden for item in node.children for child in item.children if child.type == "paragraph"
    )
    blocks: list[Placed] = []
    for number, item in enumerate(node.children, start):
        marker = Content.styled(f"{number}. ".rjust(size) if ordered else "• ", "$text-primary")
        lead = first if number == start else rest
        inside = list(_place_children(item, lead + marker, rest + " " * size))
        blocks += inside or [Placed(Text(Content(" ")), lead + marker, rest, rest)]
    if tight:
        blocks = [replace(block, gap=None) for block in blocks]
    yield from blocks[:-1]
    yield from (replace(last, gap=rest) for last in blocks[-1:])


def _inline(node: SyntaxTreeNode) -> Content:
    """The text of a paragraph, a heading or a cell, with its emphasis."""
    parts: list[tuple[str, str]] = []

    def walk(children: Iterable[SyntaxTreeNode], style: str) -> None:
        for child in children:
            match child.type:
                case "softbreak":
                    parts.append((" ", style))
                case "hardbreak":
                    parts.append(("\n", style))
                case "code_inline":
                    parts.append((child.content, f"{style} $text-warning on $warning 12%".strip()))
                case "text" | "html_inline":
                    parts.append((child.content, style))
                case _:
                    walk(child.children, f"{style} {_INLINE.get(child.type, '')}".strip())

    for child in node.children:
        walk(child.children, "")
    return Content.assemble(*parts)


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
