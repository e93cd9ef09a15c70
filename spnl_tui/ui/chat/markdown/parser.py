"""The Markdown parser: CommonMark with tables, as models write it, with no word left out. Pure: no Textual.

It differs from markdown-it's "gfm-like" in what a reader of a terminal would miss:

- Blocks nested too deep are text. markdown-it leaves them out.
- Formulas (`$x_1$`, `\\(…\\)`, `\\[…\\]`, `$$…$$`, `\\begin{…}…\\end{…}`) are tokens of their own.
  Elsewhere, a backslash before a bracket, a comma or a backslash is kept.
- Link definitions, and cells beyond the columns of a table, stay visible.
- Chinese, Japanese and Korean text needs no spaces around emphasis (`**「重点」**です`), as proposed in
  https://github.com/tats-u/markdown-cjk-friendly.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.ruler import RuleOptionsType
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.rules_inline.state_inline import Scanned

_DEEPEST = 60
"""Levels of nesting: 30 lists or 60 quotes. The parser calls itself at each one."""
_FORMULA_LINES = 200
"""The most lines in which the end of a formula is looked for."""
_KEPT = frozenset("()[]{}\\,;:")
"""Characters that keep a backslash before them: it is more often TeX than an escape."""
_FORMULA_START = re.compile(r"\\\[|\$\$|\\begin\{(\w+\*?)\}")
_CJK = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]"
)


@cache
def parser() -> MarkdownIt:
    """Return the parser of replies. Importing and building it takes a tenth of a second."""
    return _make()


@cache
def block_parser() -> MarkdownIt:
    """Return a parser of blocks only: inline text costs most, and does not matter for where blocks end."""
    return _make().disable(["inline", "linkify", "replacements", "smartquotes"], True)


def _make() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import reference, table
    from markdown_it.rules_inline import emphasis, escape, strikethrough

    made = MarkdownIt("gfm-like", {"maxNesting": 4 * _DEEPEST})
    made.block.tokenize = _limited(made.block.tokenize)  # type: ignore[method-assign,assignment]  # of this object only
    blocks, inline = made.block.ruler, made.inline.ruler
    blocks.at("reference", _visible_reference(reference), {"alt": []})
    blocks.at("table", _table_with_all_cells(table), {"alt": ["paragraph", "reference"]})
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    blocks.before("fence", "formula", _formula_block, interrupts)
    inline.before("escape", "formula", _formula)
    inline.at("escape", _escape(escape))
    inline.at("emphasis", _between_cjk(emphasis.tokenize))
    inline.at("strikethrough", _between_cjk(strikethrough.tokenize))
    made.enable(["formula"])
    return made


# ── blocks ───────────────────────────────────────────────────────────────────────────────────────────


def _limited(tokenize: Callable[[StateBlock, int, int], None]) -> Callable[[StateBlock, int, int], None]:
    def limited(state: StateBlock, start: int, end: int) -> None:
        if state.level < _DEEPEST:
            tokenize(state, start, end)
            return
        line = start
        while line < end and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
            line += 1
        state.push("paragraph_open", "p", 1).map = [start, line]
        token = state.push("inline", "", 0)
        token.content = state.getLines(start, line, state.blkIndent, False).strip("\n")
        token.map, token.children = [start, line], []
        state.push("paragraph_close", "p", -1)
        state.line = line

    return limited


_BlockRule = Callable[["StateBlock", int, int, bool], bool]


def _visible_reference(rule: _BlockRule) -> _BlockRule:
    def visible(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        if not rule(state, start, end, silent):
            return False
        if not silent:
            token = state.push("reference", "", 0)
            token.content = state.getLines(start, state.line, state.blkIndent, False)
            token.map = [start, state.line]
        return True

    return visible


def _table_with_all_cells(rule: _BlockRule) -> _BlockRule:
    from markdown_it.rules_block.table import escapedSplit

    def with_all_cells(state: StateBlock, start: int, end: int, silent: bool) -> bool:
        first = len(state.tokens)
        if not rule(state, start, end, silent):
            return False
        columns, cell = 0, 0
        for token in state.tokens[first:]:
            if token.type == "tr_open":
                cell = 0
            elif token.type == "inline":
                cell += 1
                columns += token.map is not None and token.map[0] == start
                if token.map is not None and token.map[0] > start and cell == columns:
                    line = state.getLines(token.map[0], token.map[1], state.blkIndent, False).strip()
                    cells = escapedSplit(line.removeprefix("|").removesuffix("|"))
                    token.content = " | ".join([token.content, *(more.strip() for more in cells[columns:])])
        return True

    return with_all_cells


def _formula_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read a formula of several lines, which would otherwise be cut by its minus and equals signs."""
    if state.is_code_block(start):
        return False
    line = _line(state, start)
    if not (opening := _FORMULA_START.match(line)):
        return False
    closing = f"\\end{{{opening[1]}}}" if opening[1] else {"\\[": "\\]", "$$": "$$"}[opening[0]]
    if closing in line[opening.end() :]:
        return False
    for number in range(start + 1, min(end, start + _FORMULA_LINES)):
        if state.isEmpty(number) or state.sCount[number] < state.blkIndent:
            return False
        if closing in _line(state, number):
            break
    else:
        return False
    if not silent:
        state.line = number + 1
        token = state.push("formula", "", 0)
        token.content = state.getLines(start, state.line, state.blkIndent, False)
        token.map = [start, state.line]
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


# ── inline text ──────────────────────────────────────────────────────────────────────────────────────

_InlineRule = Callable[["StateInline", bool], bool]


def _formula(state: StateInline, silent: bool) -> bool:
    """Read a formula within a line."""
    text, start = state.src, state.pos
    if text.startswith(("\\(", "\\["), start):
        end = _find(state, "\\)" if text[start + 1] == "(" else "\\]", start + 2)
    elif text.startswith("$$", start):
        end = _find(state, "$$", start + 2)
    elif text[start] == "$":
        end = _end_of_dollars(text, start)
    else:
        return False
    if not start < end <= state.posMax:
        return False
    if not silent:
        token = state.push("formula_inline", "", 0)
        token.content = text[start:end]
    state.pos = end
    return True


def _find(state: StateInline, closing: str, start: int) -> int:
    """Return the end of the closing mark; 0 if it is missing. Search for a missing mark only once."""
    missing = state.env.setdefault("formulas that do not end", {})
    if missing.get(closing) is state.src:
        return 0
    at = state.src.find(closing, start)
    if at < 0:
        missing[closing] = state.src
        return 0
    return at + len(closing)


_DOLLARS = re.compile(r"\$(?=\S)([^$\n*`]{1,300})(?<=\S)\$(?!\d)")


def _end_of_dollars(text: str, start: int) -> int:
    """The end of `$x_1$`; 0 for an amount of money."""
    match = _DOLLARS.match(text, start)
    return match.end() if match and re.search(r"[\\_^{]", match[1]) else 0


def _escape(rule: _InlineRule) -> _InlineRule:
    def escape(state: StateInline, silent: bool) -> bool:
        two = state.src[state.pos : min(state.pos + 2, state.posMax)]
        if not two.startswith("\\") or two[1:] not in _KEPT:
            return rule(state, silent)
        if not silent:
            state.append_pending(two)
        state.pos += 2
        return True

    return escape


def _between_cjk(rule: _InlineRule) -> _InlineRule:
    from markdown_it.rules_inline.state_inline import Scanned, StateInline

    def friendly(state: StateInline, silent: bool) -> bool:
        def scan(start: int, can_split_word: bool) -> Scanned:
            found = StateInline.scanDelims(state, start, can_split_word)
            before, after = (
                state.src[start - 1 : start] or " ",
                state.src[start + found.length : start + found.length + 1] or " ",
            )
            if not can_split_word or not (_CJK.match(before) or _CJK.match(after)):
                return found
            return Scanned(not after.isspace(), not before.isspace(), found.length)

        state.scanDelims = scan  # type: ignore[method-assign,assignment]  # of this object only
        return rule(state, silent)

    return friendly
