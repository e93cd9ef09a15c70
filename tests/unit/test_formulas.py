"""Formulas in TeX as Unicode text."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.ui.chat.markdown.formulas import to_unicode

DATA = Path(__file__).parents[1] / "data" / "formulas.txt"
FORMULAS = [line.split("\t") for line in DATA.read_text().splitlines() if not line.startswith("#")]


@pytest.mark.parametrize(("formula", "text"), FORMULAS, ids=[formula for formula, _ in FORMULAS])
def test_formula_becomes_unicode_text(formula: str, text: str) -> None:
    assert to_unicode(formula) == text


def test_delimiters_are_removed() -> None:
    for formula in (r"\(x^2\)", r"\[x^2\]", "$$x^2$$", "$x^2$"):
        assert to_unicode(formula) == "x²"


def test_matrix_and_cases_take_several_lines() -> None:
    assert to_unicode(r"\[A = \begin{pmatrix} a & b \\ c & d \end{pmatrix}\]", lines=True) == (
        "A = ⎛ a  b ⎞\n    ⎝ c  d ⎠"
    )
    assert to_unicode(r"f(x) = \begin{cases} 1 & x > 0 \\ 0 & \text{otherwise} \end{cases}", lines=True) == (
        "f(x) = ⎧ 1   x > 0\n       ⎩ 0   otherwise"
    )


def test_equations_are_aligned_at_their_signs() -> None:
    formula = r"\begin{align} x &= 1 + 2 \\ \mathrm{total} &= 3 \end{align}"

    assert to_unicode(formula, lines=True) == "    x = 1 + 2\ntotal = 3"


def test_broken_and_endless_formulas_stay_as_written() -> None:
    for formula in (r"\frac{a", "{" * 2_000 + "}" * 2_000, "x" * 6_000, r"\begin{matrix} 1"):
        assert to_unicode(formula) == formula


_PIECES = [*"ab1+-=^_{}()[]\\&%$# ~'", "\\frac", "\\left", "\\begin{matrix}", "\\end{matrix}"]


@pytest.mark.slow
@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_any_text_is_accepted(formula: str) -> None:
    to_unicode(formula)
    to_unicode(formula, lines=True)


def test_parser_is_imported_only_for_formulas() -> None:
    code = "import sys, spnl_tui.ui.chat.markdown.formulas; sys.exit('pylatexenc' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
