"""Selected text: the original, without wraps, borders and bullets."""

from __future__ import annotations

import pytest

from spnl_tui.ui.chat.markdown.lines import Line, selected_text
from spnl_tui.ui.chat.markdown.rendering import layout, parse

PARAGRAPH = "The quick brown fox jumps over the lazy dog and runs away."
CODE = "```python\ndef add(a, b):\n    return a + b  # a long comment that is wrapped\n```\n"
MATRIX = "\\[\nA = \\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}\n\\]"
TABLE = "| Name | Age |\n|---|---|\n| Ann Lee | 31 |\n| Bob | 4 |\n"


def shown(source: str, width: int) -> list[Line]:
    return layout(parse(source), width)


def everything(source: str, width: int) -> str:
    lines = shown(source, width)
    return selected_text(lines, (0, 0), (len(lines), 0)).rstrip("\n")


@pytest.mark.parametrize("width", [10, 20, 40, 80])
@pytest.mark.parametrize(
    ("source", "copied"),
    [
        (PARAGRAPH, PARAGRAPH),
        (f"{PARAGRAPH}\n\n{PARAGRAPH}", f"{PARAGRAPH}\n\n{PARAGRAPH}"),
        ("one\ntwo\n", "one\ntwo"),
        (f"- {PARAGRAPH}\n- b\n", f"{PARAGRAPH}\nb"),
        (f"1. {PARAGRAPH}\n2. b\n", f"1. {PARAGRAPH}\n2. b"),
        ("- a\n  - b\n    - c\n", "a\nb\nc"),
        (f"> {PARAGRAPH}\n", PARAGRAPH),
        (CODE, "def add(a, b):\n    return a + b  # a long comment that is wrapped"),
        ("# A heading of several words\n\ntext\n", "A heading of several words\n\ntext"),
        (r"Let \(x^2 + \alpha\) be small.", r"Let \(x^2 + \alpha\) be small."),
        (f"{MATRIX}\n", MATRIX),
        ("東京都千代田区丸の内一丁目と大阪", "東京都千代田区丸の内一丁目と大阪"),
        ("a\n\n---\n\nb\n", "a\n\n---\n\nb"),
        ("**bold** and `code` words that are wrapped", "bold and code words that are wrapped"),
    ],
)  # fmt: skip
def test_copied_text_does_not_depend_on_the_width(source: str, copied: str, width: int) -> None:
    assert everything(source, width) == copied


@pytest.mark.parametrize("width", [20, 40])
def test_copied_table_has_tabs_between_its_cells(width: int) -> None:
    assert everything(TABLE, width) == "Name\tAge\nAnn Lee\t31\nBob\t4"


@pytest.mark.parametrize(
    ("source", "width", "start", "stop", "copied"),
    [
        (PARAGRAPH, 20, (0, 4), (0, 9), "quick"),
        (PARAGRAPH, 20, (0, 16), (1, 5), "fox jumps"),
        ("- alpha beta\n", 20, (0, 0), (0, 7), "alpha"),
        (CODE, 60, (1, 6), (1, 12), "return"),
        (TABLE, 40, (2, 0), (2, 3), "Ann"),
        (TABLE, 40, (0, 5), (2, 3), "Age\nAnn"),
        ("> a quote that wraps\n", 12, (0, 4), (1, 6), "quote that"),
        (r"so \(x^2\) is", 40, (0, 3), (0, 5), "x²"),
    ],
)
def test_part_of_a_line_is_copied_as_it_is_shown(
    source: str, width: int, start: tuple[int, int], stop: tuple[int, int], copied: str
) -> None:
    assert selected_text(shown(source, width), start, stop) == copied
