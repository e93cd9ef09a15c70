"""Markdown as blocks, lines and pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.ui.chat.markdown.rendering import layout, parse
from spnl_tui.ui.chat.markdown.stream import MarkdownSplitter, Piece, code_blocks, whole_blocks

FENCE = "```python\n" + "".join(f"line({n})\n" for n in range(50)) + "```\n"
LIST = "".join(f"{n}. item {n}\n" for n in range(1, 41))


def lines(source: str, width: int = 40) -> list[str]:
    return [line.content.plain.rstrip() for line in layout(parse(source), width)]


def stream(source: str, size: int = 7) -> tuple[list[Piece], str]:
    splitter = MarkdownSplitter()
    pieces = []
    for start in range(0, len(source), size):
        pieces += splitter.feed(source[start : start + size])
    return pieces, splitter.tail


def test_blocks_are_separated_by_one_empty_line() -> None:
    assert lines("# Title\n\nOne *two* **three** `four`.\nFive.\n\n---\n") == [
        "Title",
        "",
        "One two three four.",
        "Five.",
        "",
        "─" * 40,
        "",
    ]


def test_wrapped_list_item_is_indented_below_its_text() -> None:
    assert lines("9. one two three four five six seven eight\n10. next\n", 20) == [
        " 9. one two three",
        "    four five six",
        "    seven eight",
        "10. next",
        "",
    ]


def test_nested_and_loose_lists_keep_their_spacing() -> None:
    assert lines("- a\n  - b\n    1. c\n- d\n") == ["• a", "  • b", "    1. c", "• d", ""]
    assert lines("- a\n\n- b\n") == ["• a", "", "• b", ""]


def test_quote_has_a_bar_on_every_line() -> None:
    assert lines("> one\n>\n> two\n\nafter") == ["▌ one", "▌", "▌ two", "", "after", ""]


def test_code_keeps_its_spaces_and_wraps_when_too_long() -> None:
    assert lines("```\nif x:\n    " + "y" * 40 + "\n\nend\n```\n", 24) == [
        "  if x:",
        "      " + "y" * 16,
        "  " + "y" * 20,
        "  " + "y" * 4,
        "",
        "  end",
        "",
    ]


def test_table_shrinks_to_the_width() -> None:
    table = "| City | About it |\n|---|---|\n| Paris | " + "word " * 12 + "|\n"
    shown = lines(table, 30)
    assert shown[0] == "City  │ About it"
    assert all(len(line) <= 30 for line in shown)
    assert " ".join(shown).count("word") == 12


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", "[@click=app.quit]quit[/]", "a [link](x) [1]"])
def test_markup_is_plain_text(text: str) -> None:
    assert lines(text)[0] == text.replace("[link](x)", "link (x)")


def test_html_is_plain_text() -> None:
    assert lines("<script>alert(1)</script>\n") == ["<script>alert(1)</script>", ""]


def test_piece_is_complete_when_the_next_block_begins() -> None:
    pieces, tail = stream("# One\n\npara\ngraph\n\nnext\n**bo")
    assert [piece.source for piece in pieces] == ["# One\n\n", "para\ngraph\n\n"]
    assert tail == "next\n**bo"


def test_unfinished_line_is_never_cut_off() -> None:
    # "#" would be a heading of its own, "#5" belongs to the paragraph.
    splitter = MarkdownSplitter()
    assert splitter.feed("number\n#") == []
    assert splitter.feed("5 is it\n") == []
    assert splitter.tail == "number\n#5 is it\n"


@pytest.mark.parametrize("source", [FENCE, LIST, "- a\n\n- b\n" * 20], ids=["code", "list", "loose list"])
def test_long_block_is_split_into_pieces_with_a_short_tail(source: str) -> None:
    longest = 0
    splitter = MarkdownSplitter()
    shown: list[str] = []
    for character in source:
        for piece in splitter.feed(character):
            shown += [
                line.content.plain for line in layout(parse(piece.source, continues=piece.continues), 40)
            ]
        longest = max(longest, splitter.tail.count("\n"))
    shown += [line.content.plain for line in layout(parse(splitter.tail), 40)]
    assert longest <= 25
    assert [line.strip() for line in shown if line.strip()] == [s.strip() for s in lines(source) if s.strip()]


DEEP_LIST = "".join("  " * level + f"- level {level}\n" for level in range(70))
DEEP_QUOTE = "".join("> " * (level + 1) + f"level {level}\n" for level in range(70))
MIXED = "".join("> - " * level + f"level {level}\n\n" for level in range(70))


@pytest.mark.parametrize("deep", [DEEP_LIST, DEEP_QUOTE, MIXED], ids=["list", "quote", "both"])
def test_deeply_nested_text_is_shown_within_the_width(deep: str) -> None:
    shown = lines(f"{deep}\n\nThe end.\n\n```\ncode\n```\n")
    words = " ".join(shown).split()
    assert [word for word in words if word.isdigit()] == [str(level) for level in range(70)]
    assert words[-3:] == ["The", "end.", "code"]
    assert max(map(len, shown)) <= 40


@pytest.mark.slow
@pytest.mark.parametrize(
    "marks", ["*", "**", "[", "![", "<", "`", "\\(", "$", "> ", "- ", "1. ", "x~~", "(", "$$"]
)
def test_thousands_of_marks_are_plain_text(marks: str) -> None:
    shown = lines(marks * 1500 + "words" + marks[::-1] * 1500)
    assert "words" in "".join(shown)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("Roses are red\nViolets are blue\n", ["Roses are red", "Violets are blue"]),
        ("A. yes\nB. no\n", ["A. yes", "B. no"]),
        ("**Name:** Bo\n**Age:** 7\n", ["Name: Bo", "Age: 7"]),
        (r"Let \( x_1 * y_2 * z \) be", ["Let x₁ * y₂ * z be"]),
        (r"$$ a_1 - b $$ and $x_i$, not $5 *or* $6", ["a₁ - b and xᵢ, not $5 or $6"]),
        ("\\[\na\n- b\n= c\n\\]\n", ["  a - b = c"]),
        (
            "\\begin{align}\nx &= 1 \\\\\n- y\n\\end{align}\n",
            ["  x = 1", "  - y"],
        ),
        (r"a\, b\; c \\ d \{e\}", [r"a\, b\; c \\ d \{e\}"]),
        (r"\*no\* \_no\_ \# \`", ["*no* _no_ # `"]),
        ("[Guide](https://example.com/ä%20b)", ["Guide (https://example.com/ä%20b)"]),
        ("[a](https://b.org 'the title')", ['a (https://b.org "the title")']),
        ("https://b.org and <me@b.org>", ["https://b.org and me@b.org"]),
        ("![cat](cat.png)", ["cat (cat.png)"]),
        ("これは**「要点」**です", ["これは「要点」です"]),
        ("**中文：**内容，**“引号”**后", ["中文：内容，“引号”后"]),
        ("~~「旧」~~は", ["「旧」は"]),
        ("1) one\n2) two\n", ["1) one", "2) two"]),
        ("one<br>two", ["one", "two"]),
        ("see [x]\n\n[y]: https://y.org 'Why'\n", ["see [x]", "[y]: https://y.org 'Why'"]),
        ("```sh run this\nls\n```\n", ["run this", "  ls"]),
        ("> \n\nafter", ["▌", "after"]),
    ],
)
def test_words_and_marks_of_models_are_kept(source: str, shown: list[str]) -> None:
    assert [line for line in lines(source, 60) if line] == shown


def test_cells_beyond_the_columns_of_a_table_are_shown() -> None:
    shown = lines("| a | b |\n|---|---|\n| 1 | 2 | 3 | 4 |\n| 5 |\n")
    assert [line.split() for line in shown if line][2:] == [["1", "│", "2", "|", "3", "|", "4"], ["5", "│"]]


def test_table_with_more_columns_than_cells_fits_the_width() -> None:
    row = "|" + "|".join(f"c{number}" for number in range(40)) + "|\n"
    shown = lines(row + "|" + "---|" * 40 + "\n" + row)
    assert max(map(len, shown)) <= 40
    assert " ".join(shown).count("c39") == 2


PARAGRAPH = "".join(f"line {number} of a poem\n" for number in range(100))
TABLE = "| number | square |\n|---|---|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(100))
QUOTE = "".join(f"> line {number}\n" for number in range(100))
ONE_LINE = "word " * 4000
NESTED = "- top\n" + "".join(f"  - item {number}\n" for number in range(700))


@pytest.mark.parametrize("source", [PARAGRAPH, TABLE, QUOTE], ids=["paragraph", "table", "quote"])
def test_pieces_of_a_long_text_show_every_line_once(source: str) -> None:
    splitter = MarkdownSplitter()
    shown: list[str] = []
    for character in source:
        for piece in splitter.feed(character):
            blocks = parse(piece.source, continues=piece.continues, headless=piece.headless)
            shown += [line.content.plain for line in layout(blocks, 40)]
        assert splitter.tail.count("\n") <= 25
    shown += [line.content.plain for line in layout(parse(splitter.tail, headless=splitter.headless), 40)]
    assert [line.split() for line in shown if line.strip()] == [
        line.split() for line in lines(source) if line
    ]


def parsed_characters(source: str, size: int = 20) -> int:
    """The characters that are parsed while this text streams."""
    splitter, parsed = MarkdownSplitter(), 0
    for start in range(0, len(source), size):
        parsed += sum(len(piece.source) for piece in splitter.feed(source[start : start + size]))
        parsed += len(splitter.tail) if splitter.due else 0
    return parsed


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [PARAGRAPH * 20, TABLE * 5, QUOTE * 20, ONE_LINE, NESTED, f"```\n{PARAGRAPH * 20}"],
    ids=["paragraph", "tables", "quote", "line", "nested list", "code"],
)
def test_streaming_cost_is_proportional_to_the_length(source: str) -> None:
    half = parsed_characters(source[: len(source) // 2])
    assert parsed_characters(source) <= 2.6 * half


LINES = [
    "# h\n",
    "para\n",
    "\n",
    "- a\n",
    "  - b\n",
    "1. x\n",
    "```\n",
    "    code\n",
    "> q\n",
    "---\n",
    "===\n",
]
BITS = ["| a | b |\n", "|---|---|\n", "[r]: /u\n", "**b", "`c`", "~~~\n", "<b>\n", "\t", "é\u2028"]
markdown_text = st.lists(st.sampled_from([*LINES, *BITS]), max_size=40).map("".join)


@pytest.mark.slow
@given(markdown_text, st.integers(1, 9))
def test_no_text_is_lost_or_shown_twice(source: str, size: int) -> None:
    splitter = MarkdownSplitter()
    for start in range(0, len(source), size):
        before = splitter.tail
        for piece in splitter.feed(source[start : start + size]):
            assert piece.source.strip()
            parse(piece.source, continues=piece.continues)
        assert len(splitter.tail) <= len(before) + size + len("| a | b |\n|---|---|\n")
    parts, _ = whole_blocks(source, 3)
    assert "".join(parts).rstrip("\n") == source.rstrip("\n")
    layout(parse(source), 30)


def test_link_references_work_across_pieces() -> None:
    parts, references = whole_blocks("see [it][a]\n\n" * 3 + "[a]: https://example.org\n\nend\n", 2)
    assert len(parts) > 1
    (line, _) = layout(parse(parts[0], references=references), 40)
    assert line.content.plain == "see it (https://example.org)"


def test_code_blocks_are_found_in_order() -> None:
    blocks = code_blocks("a\n\n```python title\nx = 1\n```\n\n- b\n  ~~~\n  y\n  ~~~\n")
    assert [(block.language, block.code) for block in blocks] == [("python", "x = 1"), ("", "y")]


@pytest.mark.parametrize(
    ("opening", "shown"),
    [
        ("```python", []),
        ("```c++", []),
        ("```python title=x.py", ["title=x.py"]),
        ("~~~~<b>word</b>", ["<b>word</b>"]),
        ("~~~`code` and words", ["`code` and words"]),
    ],
)
def test_words_behind_a_fence_are_shown_unless_they_are_a_language(opening: str, shown: list[str]) -> None:
    assert lines(f"{opening}\nx\n{opening[:3]}\n")[: len(shown) + 1] == [*shown, "  x"]


@pytest.mark.parametrize("start", ["", "漢字", "e\u0301" * 5, "👩\u200d👧", "हिन्दी "])
@pytest.mark.parametrize("width", [10, 17, 30])
def test_long_line_of_code_is_shown_whole_in_any_script(start: str, width: int) -> None:
    code = start + "abcdefghij" * 8
    shown = "".join(line.strip() for line in lines(f"```\n{code}\n```\n", width))
    assert shown == code.replace(" ", "") or shown == code
