"""A cheap picture of Markdown that is not finished: what the user sees until its block is complete."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from textual.content import Content

from spnl_tui.ui.markdown_stream import parser

if TYPE_CHECKING:
    from markdown_it.token import Token

_STYLES = {"strong_open": "bold", "em_open": "italic", "s_open": "strike"}
_CODE = "$text-warning"
_LONG = 4_000
"""Characters from which on parsing costs more than it shows."""


def tail_content(source: str) -> Content:
    """Headings, emphasis, bullets and inline code of an open block, in one piece of content."""
    if len(source) > _LONG:
        return Content(source)
    lines: list[Content] = []
    markers: list[str] = []
    """For each open list: the marker of its current item, to be shown once."""
    style = ""
    for token in parser().parse(source):
        match token.type:
            case "heading_open":
                style = "bold $primary"
            case "heading_close":
                style = ""
            case "list_item_open":
                markers.append(f" {token.info}. " if token.info else "• ")
            case "list_item_close":
                markers.pop()
            case "inline":
                indent = "".join(" " * len(marker) for marker in markers[:-1])
                marker = markers[-1] if markers else ""
                if markers:
                    markers[-1] = " " * len(marker)
                lines.append(Content.assemble(indent, marker, inline_content(token.children or (), style)))
            case "fence" | "code_block" | "html_block":
                lines.append(Content(token.content.rstrip("\n")))
            case _:
                pass
    return Content("\n").join(lines)


def inline_content(tokens: Iterable[Token], style: str = "") -> Content:
    """Inline Markdown as content: emphasis, code, breaks; of links and images only their text."""
    parts: list[tuple[str, str]] = []
    styles = [style]
    for token in tokens:
        if token.type in _STYLES:
            styles.append(_STYLES[token.type])
        elif token.type == "link_open":
            styles.append("underline")
        elif token.nesting < 0:
            styles.pop()
        elif token.type == "code_inline":
            parts.append((token.content, _CODE))
        elif token.type == "softbreak":
            parts.append((" ", ""))
        elif token.type == "hardbreak":
            parts.append(("\n", ""))
        else:
            parts.append((token.content, " ".join(filter(None, styles))))
    return Content.assemble(*parts)
