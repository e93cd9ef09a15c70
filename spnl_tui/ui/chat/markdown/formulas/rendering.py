"""Formulas in TeX as Unicode text, for a terminal. Parts that are not known stay as they were written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

from spnl_tui.ui.chat.markdown.formulas.boxes import Box, beside, bracket, padded, stacked
from spnl_tui.ui.chat.markdown.formulas.fragments import (
    SIMPLE,
    accented,
    fraction,
    joined,
    letter,
    raised,
    relaxed,
    root,
    scripts,
)
from spnl_tui.ui.chat.markdown.formulas.parsing import (
    ROWS,
    InvalidFormulaError,
    atoms,
    cells,
    name_of,
    parse,
    unwrapped,
)
from spnl_tui.ui.chat.markdown.formulas.symbols import (
    ACCENTS,
    ALPHABETS,
    CLOSE,
    DROPPED,
    FUNCTIONS,
    IGNORED,
    MATRICES,
    PLAIN,
    SPACED,
    SPACES,
    SYMBOLS,
)

_MAX_LENGTH = 5_000
"""Characters. A longer formula stays as it was written."""
_OPENINGS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}


def to_unicode(formula: str, *, lines: bool = False) -> str:
    """Return a formula, with or without its delimiters, as Unicode text.

    `lines` allows several lines, for matrices and systems of equations. A formula that cannot be parsed stays
    as it was written.
    """
    if len(formula) > _MAX_LENGTH:
        return formula
    inner = _without_delimiters(formula.strip())
    try:
        nodes = parse(inner)
        text = _render(nodes, lines)
    except (InvalidFormulaError, RecursionError):
        return formula
    return text or formula


def _without_delimiters(formula: str) -> str:
    for opening, closing in _OPENINGS.items():
        if formula.startswith(opening) and formula.endswith(closing) and len(formula) >= 2 * len(opening):
            return formula[len(opening) : -len(closing)]
    return formula


# ── rendering ────────────────────────────────────────────────────────────────────────────────────


def _render(nodes: Sequence[Any], lines: bool) -> str:
    rows = [_tidy(row) for row in _Renderer(lines).rows(nodes)]
    return "\n".join(rows).rstrip() if lines else "  ".join(filter(None, (row.strip() for row in rows)))


def _tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n"))


class _Renderer:
    """Turns nodes into text. `lines`: matrices may take several lines."""

    def __init__(self, lines: bool) -> None:
        self._lines = lines
        self._after_unknown = False
        """True behind a macro that is not known, whose arguments stay as they were written."""

    def rows(self, nodes: Sequence[Any]) -> list[str]:
        """Return the rows of a formula, which "\\\\" separates, with their columns aligned."""
        table = [[self.box(cell) for cell in row] for row in cells(unwrapped(nodes))]
        if len(table) == 1 or not self._lines:
            return ["\n".join(beside(row).lines) for row in table]
        width = max((len(row[0].lines[0]) for row in table if len(row) > 1), default=0)
        return [
            "\n".join(beside([padded(row[0], width) if len(row) > 1 else row[0], *row[1:]]).lines)
            for row in table
        ]

    def text(self, nodes: Iterable[Any]) -> str:
        """Return nodes as one line."""
        return beside([_Renderer(False).box(list(nodes))]).lines[0].strip()

    def box(self, nodes: Sequence[Any]) -> Box:
        boxes: list[Box] = []
        text = ""
        pieces = list(atoms(nodes))
        at = 0
        while at < len(pieces):
            atom = pieces[at]
            at += 1
            if isinstance(atom, str):
                if atom in "^_" and at < len(pieces):
                    text = text.rstrip() if not text.endswith("  ") else text
                    text += self._script(atom, pieces[at])
                    text += " " * bool(getattr(pieces[at], "macro_post_space", ""))
                    at += 1
                elif atom == "'":
                    text += "′"
                elif atom == "~":
                    text += " "
                elif atom.isspace():
                    text += "" if text.endswith(" ") or not text else " "
                else:
                    text = joined(text, atom)
                continue
            following = pieces[at] if at < len(pieces) else ""
            if self._lines and (matrix := self._matrix(atom)) is not None:
                boxes += [Box((text,)), matrix]
                text = ""
                continue
            text = joined(text, self._piece(atom, following))
            if (
                getattr(atom, "macro_post_space", "")
                and isinstance(following, str)
                and following in "=+-<>*/"
            ):
                text = f"{text.rstrip()} "
        return beside([*boxes, Box((text,))])

    def _script(self, kind: str, atom: Any) -> str:
        inner = atom if isinstance(atom, str) else self._argument(atom)
        letters = scripts("super" if kind == "^" else "sub")
        compact = inner.replace(" ", "")
        if compact in ("∘", "°") and kind == "^":
            return "°"
        if compact and all(each in letters or each == "′" for each in compact):
            return "".join(letters.get(each, each) for each in compact)
        return f"{kind}{inner}" if len(inner) == 1 else f"{kind}({relaxed(inner)})"

    def _argument(self, node: Any) -> str:
        return (
            self.text(node.nodelist)
            if hasattr(node, "nodelist") and not hasattr(node, "environmentname")
            else self.text([node])
        )

    def _piece(self, node: Any, following: Any) -> str:
        """Return the text of a node. Spaces around it keep it apart from its neighbours."""
        name = getattr(node, "macroname", None)
        if name is None:
            return self._other(node)
        self._after_unknown = False
        arguments = [
            each for each in (node.nodeargd.argnlist if node.nodeargd else None) or () if each is not None
        ]
        if name in IGNORED or name in DROPPED:
            return ""
        if name in SPACES:
            return SPACES[name]
        if name in ACCENTS and arguments:
            return accented(self._argument(arguments[0]), ACCENTS[name])
        if name in ALPHABETS and arguments:
            return "".join(letter(ALPHABETS[name], each) for each in self._argument(arguments[0]))
        if (structure := self._structure(name, arguments)) is not None:
            return structure
        if name in FUNCTIONS:
            close = following in "^_([,." if isinstance(following, str) else name_of(following) in IGNORED
            return name if close else f"{name} "
        symbol = SYMBOLS.get(name) or _symbol(name)
        self._after_unknown = symbol is None
        if symbol is None:
            return str(node.latex_verbatim())
        if name in ("mid", "bmod") or symbol in SPACED:
            return f" {symbol} "
        if len(symbol) > 1 or symbol in CLOSE or unicodedata.category(symbol) not in ("Sm", "So"):
            return symbol
        return f" {symbol} "

    def _structure(self, name: str, arguments: Sequence[Any]) -> str | None:
        inner = [
            self._argument(each)
            for each in arguments
            if getattr(each, "nodelist", None) or not hasattr(each, "nodelist")
        ]
        match name, inner:
            case (("frac" | "dfrac" | "tfrac" | "cfrac"), [top, bottom]):
                return fraction(top, bottom)
            case (("binom" | "dbinom" | "tbinom"), [top, bottom]):
                return f"C({top}, {bottom})"
            case "sqrt", [*index, radicand]:
                return root(radicand, index[0] if index else "")
            case "pmod", [modulus]:
                return f" (mod {modulus})"
            case "tag", [number]:
                return f"  ({number})"
            case "not", [symbol]:
                return f"{symbol}\u0338"
            case (("underbrace" | "overbrace" | "cancel"), [under]):
                return under if SIMPLE.fullmatch(under) else f"({under})"
            case "textcolor", [_, coloured]:
                return coloured
            case "color", [_]:
                return ""
            case (("stackrel" | "overset"), [above, symbol]):
                return f" {symbol}{raised(above)} "
            case "underset", [below, symbol]:
                return f"{symbol}_({below})"
            case (("xrightarrow" | "xleftarrow"), [*_, above]):
                return f" {SYMBOLS[name]}{raised(above)} "
            case _ if name in PLAIN and arguments:
                argument = arguments[-1]
                if name.startswith("text") or name in ("mbox", "hbox"):
                    return _words(argument)
                return self._argument(argument)
        return None

    def _other(self, node: Any) -> str:
        environment = getattr(node, "environmentname", None)
        if environment is not None:
            rows = [[self.text(cell) for cell in row] for row in cells(node.nodelist)]
            left, right = _brackets(environment.rstrip("*"))
            gap, right = (", ", "}") if environment.endswith("cases") else (" ", right)
            return f"{left.strip()}{'; '.join(gap.join(filter(None, row)) for row in rows)}{right.strip()}"
        if hasattr(node, "nodelist"):
            return self.text(node.nodelist) if not self._after_unknown else str(node.latex_verbatim())
        if hasattr(node, "comment"):
            return f"%{node.comment}"
        return str(node.latex_verbatim())

    def _matrix(self, node: Any) -> Box | None:
        name = (getattr(node, "environmentname", None) or "").rstrip("*")
        if not name:
            return None
        rows = [[self.text(cell) for cell in row] for row in cells(node.nodelist)]
        rows = [row for row in rows if any(row)]
        if name not in MATRICES:
            texts = [relaxed(" ".join(filter(None, row))) for row in rows]
            return stacked(texts) if ROWS.fullmatch(name) else None
        widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
        gap = "   " if "cases" in name else "  "
        full = [[*row, *[""] * (len(widths) - len(row))] for row in rows]
        lines = [gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in full]
        left, right = _brackets(name)
        if len(lines) == 1:
            return Box((f"{left.strip()}{lines[0]}{right.strip()}",))
        ends = [(bracket(left, at, len(lines)), bracket(right, at, len(lines))) for at in range(len(lines))]
        pad = " " if left.strip() else ""
        return Box(
            tuple(f"{a}{pad}{line}{pad}{b}" for (a, b), line in zip(ends, lines, strict=True)),
            (len(lines) - 1) // 2,
        )


def _brackets(environment: str) -> tuple[str, str]:
    brackets = MATRICES.get(environment, "  ")
    return brackets[0], brackets[1]


def _words(node: Any) -> str:
    """Return text within a formula with its spaces."""
    inner = node.nodelist if hasattr(node, "nodelist") else [node]
    return "".join(each.chars if hasattr(each, "chars") else _Renderer(False).text([each]) for each in inner)


@cache
def _symbols() -> Any:
    from pylatexenc.latex2text import get_default_latex_context_db

    return get_default_latex_context_db()


@cache
def _symbol(name: str) -> str | None:
    spec = _symbols().get_macro_spec(name)
    replacement = getattr(spec, "simplify_repl", None)
    return replacement if isinstance(replacement, str) and replacement and "%" not in replacement else None
