"""Parse formulas with pylatexenc."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from spnl_tui.ui.chat.markdown.formulas.symbols import ACCENTS, ALPHABETS, MATRICES, PLAIN

if TYPE_CHECKING:
    from pylatexenc.macrospec import LatexContextDb

ROWS = re.compile(
    r"(?:align|gather|split|eqnarray|multline|equation|flalign|alignat|aligned|gathered|math)\w*\*?"
)
"""Matches environments whose rows are equations."""


class InvalidFormulaError(Exception):
    """The formula is not valid TeX."""


def parse(formula: str) -> list[Any]:
    from pylatexenc.latexwalker import LatexWalker, LatexWalkerParseError

    walker = LatexWalker(formula, latex_context=_context(), tolerant_parsing=False)
    state = walker.make_parsing_state(in_math_mode=True)
    try:
        nodes, _, length = walker.get_latex_nodes(parsing_state=state)
    except LatexWalkerParseError as error:
        raise InvalidFormulaError from error
    if length != len(formula):
        raise InvalidFormulaError
    return list(nodes)


@cache
def _context() -> LatexContextDb:
    """Return the macros whose arguments are parsed, pylatexenc's and more."""
    from pylatexenc.latexwalker import get_default_latex_context_db
    from pylatexenc.macrospec import EnvironmentSpec, MacroSpec

    context = get_default_latex_context_db()
    one = [
        *ACCENTS,
        *ALPHABETS,
        *(PLAIN - {"operatorname"}),
        "pmod",
        "tag",
        "label",
        "phantom",
        "vphantom",
    ]
    one += ["hphantom", "not", "underbrace", "overbrace", "color", "overset", "hspace", "vspace", "cancel"]
    two = [
        "frac",
        "dfrac",
        "tfrac",
        "cfrac",
        "binom",
        "dbinom",
        "tbinom",
        "stackrel",
        "textcolor",
        "underset",
    ]
    specs = [MacroSpec(name, "{") for name in one if name not in ("overset",)]
    specs += [MacroSpec(name, "{{") for name in (*two, "overset")]
    specs += [MacroSpec("sqrt", "[{"), MacroSpec("operatorname", "*{"), MacroSpec("xrightarrow", "[{")]
    specs += [MacroSpec("xleftarrow", "[{")]
    tables = [EnvironmentSpec("array", "{", is_math_mode=True)]
    tables += [
        EnvironmentSpec(name, "", is_math_mode=True)
        for name in (*MATRICES, "aligned", "align", "align*", "split", "gathered", "gather", "gather*")
        if name != "array"
    ]
    tables += [EnvironmentSpec(name, "{", is_math_mode=True) for name in ("alignat", "alignat*", "alignedat")]
    context.add_context_category("formulas", prepend=True, macros=specs, environments=tables)
    return context


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────


def name_of(node: Any) -> str:
    return getattr(node, "macroname", None) or ""


def cells(nodes: Iterable[Any]) -> list[list[list[Any]]]:
    """Return the cells of each row: "\\\\" separates rows, "&" separates cells."""
    rows: list[list[list[Any]]] = [[[]]]
    for node in nodes:
        if getattr(node, "macroname", None) in ("\\", "newline", "cr"):
            rows.append([[]])
        elif getattr(node, "specials_chars", None) == "&":
            rows[-1].append([])
        elif getattr(node, "macroname", None) != "hline":
            rows[-1][-1].append(node)
    while len(rows) > 1 and not any(_has_text(cell) for cell in rows[-1]):
        rows.pop()
    return rows


def _has_text(nodes: Iterable[Any]) -> bool:
    return any(getattr(node, "chars", "x").strip() for node in nodes)


def unwrapped(nodes: Sequence[Any]) -> Sequence[Any]:
    """Return the inside of a formula that is one environment of equations."""
    solid = [node for node in nodes if getattr(node, "chars", "x").strip()]
    if len(solid) == 1:
        name = getattr(solid[0], "environmentname", None)
        if name is not None and ROWS.fullmatch(name):
            return unwrapped(solid[0].nodelist)
    return nodes


def atoms(nodes: Iterable[Any]) -> Iterable[Any]:
    """Yield characters one by one, and all other nodes."""
    for node in nodes:
        if hasattr(node, "chars"):
            yield from node.chars
        elif getattr(node, "specials_chars", None) is not None:
            yield {"&": " ", "~": "~", "``": "“", "''": "′′"}.get(node.specials_chars, node.specials_chars)
        else:
            yield node
