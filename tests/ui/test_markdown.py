"""Markdown as blocks, lines and pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.ui.chat.markdown import layout, parse
from spnl_tui.ui.chat.markdown_stream import MarkdownSplitter, Piece, code_blocks, whole_blocks

FENCE = "```python\n" + "".join(f"line({n})\n" for n in range(50)) + "```\n"
LIST = "".join(f"{n}. item {n}\n" for n in range(1, 41))


def lines(source: str, width: int = 40) -> list[str]:
    return [line.plain.rstrip() for line in layout(parse(source), width)]


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
        "One two three four. Five.",
        "",
        "─" * 40,
        "",
    ]


def test_a_wrapped_list_item_hangs_below_its_text() -> None:
    assert lines("9. one two three four five six seven eight\n10. next\n", 20) == [
        " 9. one two three",
        "    four five six",
        "    seven eight",
        "10. next",
        "",
    ]


def test_nested_and_loose_lists() -> None:
    assert lines("- a\n  - b\n    1. c\n- d\n") == ["• a", "  • b", "    1. c", "• d", ""]
    assert lines("- a\n\n- b\n") == ["• a", "", "• b", ""]


def test_a_quote_has_a_bar_on_every_line() -> None:
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


def test_a_table_shrinks_to_the_width() -> None:
    table = "| City | About it |\n|---|---|\n| Paris | " + "word " * 12 + "|\n"
    shown = lines(table, 30)
    assert shown[0] == "City  │ About it"
    assert all(len(line) <= 30 for line in shown)
    assert " ".join(shown).count("word") == 12


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]", "[@click=app.quit]quit[/]", "a [link](x) [1]"])
def test_markup_is_text(text: str) -> None:
    assert lines(text)[0] == text.replace("[link](x)", "link")


def test_html_is_text() -> None:
    assert lines("<script>alert(1)</script>\n") == ["<script>alert(1)</script>", ""]


def test_pieces_come_when_the_next_block_begins() -> None:
    pieces, tail = stream("# One\n\npara\ngraph\n\nnext\n**bo")
    assert [piece.source for piece in pieces] == ["# One\n\n", "para\ngraph\n\n"]
    assert tail == "next\n**bo"


def test_an_unfinished_line_is_never_cut_off() -> None:
    # "#" would be a heading of its own, "#5" belongs to the paragraph.
    splitter = MarkdownSplitter()
    assert splitter.feed("number\n#") == []
    assert splitter.feed("5 is it\n") == []
    assert splitter.tail == "number\n#5 is it\n"


@pytest.mark.parametrize("source", [FENCE, LIST, "- a\n\n- b\n" * 20], ids=["code", "list", "loose list"])
def test_long_blocks_come_in_pieces_with_a_short_tail(source: str) -> None:
    longest = 0
    splitter = MarkdownSplitter()
    shown: list[str] = []
    for character in source:
        for piece in splitter.feed(character):
            shown += [line.plain for line in layout(parse(piece.source, continues=piece.continues), 40)]
        longest = max(longest, splitter.tail.count("\n"))
    shown += [line.plain for line in layout(parse(splitter.tail), 40)]
    assert longest <= 25
    assert [line.strip() for line in shown if line.strip()] == [s.strip() for s in lines(source) if s.strip()]


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


@given(markdown_text, st.integers(1, 9))
def test_no_text_is_lost_or_shown_twice(source: str, size: int) -> None:
    splitter = MarkdownSplitter()
    for start in range(0, len(source), size):
        before = splitter.tail
        for piece in splitter.feed(source[start : start + size]):
            assert piece.source.strip()
            parse(piece.source, continues=piece.continues)
        assert len(splitter.tail) <= len(before) + size + len("```\n")
    parts, _ = whole_blocks(source, 3)
    assert "".join(parts).rstrip("\n") == source.rstrip("\n")
    layout(parse(source), 30)


def test_references_reach_other_parts() -> None:
    parts, references = whole_blocks("see [it][a]\n\n" * 3 + "[a]: https://example.org\n\nend\n", 2)
    assert len(parts) > 1
    (line, _) = layout(parse(parts[0], references=references), 40)
    assert line.plain == "see it"


def test_code_blocks() -> None:
    blocks = code_blocks("a\n\n```python title\nx = 1\n```\n\n- b\n  ~~~\n  y\n  ~~~\n")
    assert [(block.language, block.code) for block in blocks] == [("python", "x = 1"), ("", "y")]
