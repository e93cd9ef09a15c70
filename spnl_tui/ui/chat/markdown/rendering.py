"""Markdown as lines for one width. No widgets, no state.

Textual's Markdown makes widgets: four for every list item. Every addition to a reply then costs a layout
of hundreds of widgets, and a list of a hundred items half a second. Here a text becomes blocks, and blocks
become lines, which one widget can show. Links, images and HTML stay text, because a model wrote them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from textual.content import Content

from spnl_tui.text import first_line
from spnl_tui.ui.chat.markdown.blocks import Block, Code, Formula, Rule, Text
from spnl_tui.ui.chat.markdown.formulas import to_unicode
from spnl_tui.ui.chat.markdown.lines import Line
from spnl_tui.ui.chat.markdown.parser import parser
from spnl_tui.ui.chat.markdown.table import Table

if TYPE_CHECKING:
    from markdown_it.token import Token

_EMPTY = Content("")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_ENCODED = re.compile(r"(?:%[89A-F][0-9A-F])+")
_SCHEME = re.compile(r"^(?:https?://|mailto:)")
_LANGUAGE = re.compile(r"[\w+#.-]{0,30}")
"""What may be the language of a code block, which is not shown."""
_INLINE = {"strong": "bold", "em": "italic", "s": "strike", "link": "underline"}


@dataclass(frozen=True, slots=True)
class Placed:
    """A block in its place: what stands before its lines, and below it."""

    block: Block
    first: Content = _EMPTY
    rest: Content = _EMPTY
    gap: Content | None = _EMPTY
    """The decoration of an empty line after the block; None if there is no such line."""
    kept: int = 0
    """The last characters of `first` that belong to the text, such as "1. "."""


def layout(blocks: Iterable[Placed], width: int) -> list[Line]:
    """Return the blocks as lines of at most `width` cells."""
    lines = []
    for placed in blocks:
        before, rest = (_shortened(prefix, width // 2) for prefix in (placed.first, placed.rest))
        kept = placed.kept
        for line in placed.block.lines(max(1, width - rest.cell_length)):
            lines.append(line.behind(before, kept))
            before, kept = rest, 0
        if placed.gap is not None:
            gap = _shortened(placed.gap, width // 2)
            lines.append(Line(gap, before=len(gap.plain)))
    return lines


def _shortened(prefix: Content, width: int) -> Content:
    """Return the end of a long prefix of deeply nested lines, because most of the width is for the text."""
    return prefix if prefix.cell_length <= width else prefix[len(prefix) - width :]


def parse(
    source: str,
    *,
    continues: bool = False,
    headless: bool = False,
    references: Mapping[str, Any] | None = None,
) -> list[Placed]:
    """Return the blocks of a Markdown text.

    With `continues`, its last block continues in another text. With `headless`, its first block is a table
    whose head is shown already. `references` are links that another text defines.
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
            yield Placed(Text(_inline(node), _original(node)), first, rest, rest)
        case "heading":
            style = "bold $primary" if node.token.tag in ("h1", "h2") else "bold"
            text = Text(_inline(node).stylize_before(style), _original(node))
            yield Placed(text, first, rest, rest)
        case "bullet_list" | "ordered_list":
            yield from _place_list(node, first, rest)
        case "blockquote":
            bar = Content.styled("▌ ", "$primary 60%")
            inside = list(_place_children(node, first + bar, rest + bar))
            inside = inside or [Placed(Text(Content(" ")), first + bar, rest + bar)]
            yield from inside[:-1]
            yield from (replace(last, gap=rest) for last in inside[-1:])
        case "fence" | "code_block":
            info = node.token.info.strip()
            language, _, more = info.partition(" ")
            if not _LANGUAGE.fullmatch(language):  # text that only happens to open a fence
                language, more = "", info
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
        if ordered and inside:
            inside[0] = replace(inside[0], kept=len(marker.plain.lstrip()))
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
    """Return the text of a paragraph, a heading or a cell, with its emphasis."""
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


def _original(node: _Node) -> str | None:
    """Return the text with its formulas as they were written; None if it has none."""
    tokens = [token for child in node.children for token in child.token.children or ()]
    if not any(token.type == "formula_inline" for token in tokens):
        return None
    return "".join("\n" if token.type in ("softbreak", "hardbreak") else token.content for token in tokens)


def _address(token: Token, text: str) -> str:
    """Return the address of a link, unless it is the text itself, and its title, to show after the text."""
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
