"""Markdown as lines of content, for one width. No widgets, no state.

Textual's Markdown makes widgets: four for every list item. Every addition to a reply then costs a layout
of hundreds of widgets, and a list of a hundred items half a second. Here a text becomes blocks, and blocks
become lines, which one widget can show. What a link, an image or HTML would do is not done: a model wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from textual.content import Content

from spnl_tui.text import first_line
from spnl_tui.ui.chat.formulas import to_unicode
from spnl_tui.ui.chat.markdown_parser import parser

if TYPE_CHECKING:
    from markdown_it.token import Token
    from textual.highlight import HighlightTheme

_EMPTY = Content("")
_CODE_BACKGROUND = "on $foreground 6%"
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ENCODED = re.compile(r"(?:%[89A-F][0-9A-F])+")
_SCHEME = re.compile(r"^(?:https?://|mailto:)")
_INLINE = {"strong": "bold", "em": "italic", "s": "strike", "link": "underline"}


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
class Formula:
    """A displayed formula, which may take several lines."""

    formula: str

    def lines(self, width: int) -> list[Content]:
        inner = max(1, width - 2)
        return [
            Content.assemble("  ", line)
            for row in to_unicode(self.formula, lines=True).split("\n")
            for line in Content(row).fold(inner) or [_EMPTY]
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
    headless: bool = False
    """True if these rows continue a table whose head is shown above."""

    def lines(self, width: int) -> list[Content]:
        if len(self.rows[0]) * 4 > width + 3:
            return self._lines_of_cells(width)
        widths = _column_widths(self.rows, width)
        bar = Content.styled(" │ ", "$foreground 30%")
        result = []
        for number, row in enumerate(self.rows):
            if self.headless and number == 0:
                continue
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

    def _lines_of_cells(self, width: int) -> list[Content]:
        """The rows as paragraphs: there are more columns than the width has room for."""
        rows = self.rows[1:] if self.headless else self.rows
        return [line for row in rows for line in Content(" │ ").join(row).wrap(width) or [_EMPTY]]


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
        before, rest = (_shortened(prefix, width // 2) for prefix in (placed.first, placed.rest))
        for line in placed.block.lines(max(1, width - rest.cell_length)):
            lines.append(before + line if before.plain else line)
            before = rest
        if placed.gap is not None:
            lines.append(_shortened(placed.gap, width // 2))
    return lines


def _shortened(prefix: Content, width: int) -> Content:
    """The end of what stands before deeply nested lines: most of the width is for the text."""
    return prefix if prefix.cell_length <= width else prefix[len(prefix) - width :]


def parse(
    source: str,
    *,
    continues: bool = False,
    headless: bool = False,
    references: Mapping[str, Any] | None = None,
) -> list[Placed]:
    """The blocks of a Markdown text.

    `continues`: its last block goes on in another text. `headless`: its first block is a table whose head is
    shown already. `references`: links that another text defines.
    """
    blocks: list[Placed] = []
    for node in _tree(parser().parse(source, {"references": dict(references or {})})):
        blocks += _place(node, _EMPTY, _EMPTY)
    if headless and blocks and isinstance(table := blocks[0].block, Table):
        blocks[0] = replace(blocks[0], block=replace(table, headless=True))
    if continues and blocks and not _is_loose(source):
        blocks[-1] = replace(blocks[-1], gap=None)
    return blocks


@dataclass(slots=True)
class _Node:
    """A block with the blocks in it."""

    token: Token
    """The one that opens it."""
    children: list[_Node] = field(default_factory=list)

    @property
    def type(self) -> str:
        return self.token.type.removesuffix("_open")


def _tree(tokens: Iterable[Token]) -> list[_Node]:
    # Not markdown-it's tree, which calls itself for each level of emphasis, too.
    top: list[_Node] = []
    around = [top]
    for token in tokens:
        if token.nesting < 0:
            around.pop()
            continue
        around[-1].append(node := _Node(token))
        if token.nesting > 0:
            around.append(node.children)
    return top


def _is_loose(source: str) -> bool:
    """Return True if blank lines separate the items of a list."""
    return source.endswith("\n\n")


def _place(node: _Node, first: Content, rest: Content) -> Iterator[Placed]:
    match node.type:
        case "paragraph" if (formula := _only_formula(node)) is not None:
            yield Placed(Formula(formula), first, rest, rest)
        case "paragraph":
            yield Placed(Text(_inline(node)), first, rest, rest)
        case "heading":
            style = "bold $primary" if node.token.tag in ("h1", "h2") else "bold"
            yield Placed(Text(_inline(node).stylize_before(style)), first, rest, rest)
        case "bullet_list" | "ordered_list":
            yield from _place_list(node, first, rest)
        case "blockquote":
            bar = Content.styled("▌ ", "$primary 60%")
            inside = list(_place_children(node, first + bar, rest + bar))
            inside = inside or [Placed(Text(Content(" ")), first + bar, rest + bar)]
            yield from inside[:-1]
            yield from (replace(last, gap=rest) for last in inside[-1:])
        case "fence" | "code_block":
            language, _, more = node.token.info.strip().partition(" ")
            if more:
                yield Placed(Text(Content.styled(more, "$text-muted")), first, rest, None)
            code = Code(node.token.content.rstrip("\n"), language)
            yield Placed(code, rest if more else first, rest, rest)
        case "hr":
            yield Placed(Rule(), first, rest, rest)
        case "formula":
            yield Placed(Formula(node.token.content.strip()), first, rest, rest)
        case "table":
            rows = tuple(
                tuple(_inline(cell) for cell in row.children)
                for part in node.children
                for row in part.children
            )
            yield Placed(Table(rows), first, rest, rest)
        case _:
            yield Placed(Text(Content(node.token.content.rstrip("\n"))), first, rest, rest)


def _place_children(node: _Node, first: Content, rest: Content) -> Iterator[Placed]:
    for number, child in enumerate(node.children):
        yield from _place(child, first if number == 0 else rest, rest)


def _place_list(node: _Node, first: Content, rest: Content) -> Iterator[Placed]:
    ordered = node.type == "ordered_list"
    mark = node.token.markup or "."
    start = int(node.token.attrs.get("start", 1)) if ordered else 0
    size = len(f"{start + len(node.children) - 1}{mark} ") if ordered else 2
    tight = all(
        child.token.hidden for item in node.children for child in item.children if child.type == "paragraph"
    )
    blocks: list[Placed] = []
    for number, item in enumerate(node.children, start):
        marker = Content.styled(f"{number}{mark} ".rjust(size) if ordered else "• ", "$text-primary")
        lead = first if number == start else rest
        inside = list(_place_children(item, lead + marker, rest + " " * size))
        blocks += inside or [Placed(Text(Content(" ")), lead + marker, rest, rest)]
    if tight:
        blocks = [replace(block, gap=None) for block in blocks]
    yield from blocks[:-1]
    yield from (replace(last, gap=rest) for last in blocks[-1:])


def _only_formula(node: _Node) -> str | None:
    """Return the formula of a paragraph that consists of one displayed formula; None for any other."""
    tokens = [token for child in node.children for token in child.token.children or ()]
    if (
        len(tokens) == 1
        and tokens[0].type == "formula_inline"
        and tokens[0].content.startswith(("\\[", "$$"))
    ):
        return tokens[0].content
    return None


def _inline(node: _Node) -> Content:
    """The text of a paragraph, a heading or a cell, with its emphasis."""
    parts: list[tuple[str, str]] = []
    styles: list[str] = []
    links: list[tuple[int, Token]] = []
    for token in (token for child in node.children for token in child.token.children or ()):
        style = " ".join(dict.fromkeys(filter(None, styles)))
        match token.type:
            case "softbreak" | "hardbreak":
                # A model that breaks a line means it: poems, addresses, "A. one" above "B. two".
                parts.append(("\n", style))
            case "code_inline":
                parts.append((token.content, f"{style} $text-warning on $warning 12%".strip()))
            case "formula_inline":
                parts.append((to_unicode(token.content), style))
            case "html_inline" if _BREAK.fullmatch(token.content):
                parts.append(("\n", style))
            case "image":
                parts.append((token.content, f"{style} underline".strip()))
                parts.append((_address(token, token.content), style))
            case _ if token.nesting > 0:
                styles.append(_INLINE.get(token.type.removesuffix("_open"), ""))
                if token.type == "link_open":
                    links.append((len(parts), token))
            case _ if token.nesting < 0:
                styles.pop()
                if token.type == "link_close":
                    start, link = links.pop()
                    text = "".join(text for text, _ in parts[start:])
                    parts.append((_address(link, text), style.replace("underline", "").strip()))
            case _:
                parts.append((token.content, style))
    return Content.assemble(*parts)


def _address(token: Token, text: str) -> str:
    """What follows the text of a link: its address, unless it is the text itself, and its title."""
    target = token.attrGet("href") or token.attrGet("src") or ""
    shown = _ENCODED.sub(_decoded, str(target))
    if shown.startswith("data:"):
        shown = first_line(shown, 40)
    bare, said = (_SCHEME.sub("", part).rstrip("/") for part in (shown, text))
    title = token.attrGet("title")
    more = [*([] if bare == said else [shown]), *([f'"{title}"'] if title else [])]
    return f" ({' '.join(more)})" if more else ""


def _decoded(match: re.Match[str]) -> str:
    text = unquote(match[0])
    return text if text.isprintable() and "\ufffd" not in text else match[0]


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
