from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spnl_tui.headless import tables
from spnl_tui.hub.model_lines import in_short
from spnl_tui.tables import Column, cell_width, fit, fit_name, table

COLUMNS = (
    Column("MODEL", least=10),
    Column("SIZE", right=True),
    Column("UPDATED", rank=1),
    Column("LICENSE", least=4, rank=2),
)
ROWS = [
    ("unsloth/Qwen3-1.7B-GGUF", "1.1 GB", "2025-06-01", "apache-2.0"),
    ("a/b", "950 B", "2025-06-02", "mit"),
]


def test_wide_terminal_shows_cells_in_full() -> None:
    assert table(COLUMNS, ROWS, None) == [
        "MODEL                      SIZE  UPDATED     LICENSE",
        "unsloth/Qwen3-1.7B-GGUF  1.1 GB  2025-06-01  apache-2.0",
        "a/b                       950 B  2025-06-02  mit",
    ]


def test_narrow_terminal_cuts_cells() -> None:
    assert table(COLUMNS, ROWS, 40)[1] == "unsloth/Q…  1.1 GB  2025-06-01  apache-…"


def test_very_narrow_terminal_drops_columns() -> None:
    assert table(COLUMNS, ROWS, 30)[0] == "MODEL         SIZE  UPDATED"
    assert table(COLUMNS, ROWS, 20) == [
        "MODEL           SIZE",
        "unsloth/Qwe…  1.1 GB",
        "a/b            950 B",
    ]


def test_table_without_rows_shows_its_titles() -> None:
    assert table(COLUMNS, [], 80) == ["MODEL  SIZE  UPDATED  LICENSE"]


def test_wide_and_control_characters_keep_the_alignment() -> None:
    lines = table((Column("A", least=3), Column("B")), [("模型模型", "x"), ("\x1b[31mred\nline", "y")], None)
    assert [cell_width(line) for line in lines[1:]] == [cell_width(lines[1])] * 2
    assert "\x1b" not in "".join(lines)
    assert len(lines) == 3
    cut = table((Column("A", least=3), Column("B")), [("模型模型", "x")], 8)
    assert cut[1] == "模型…  x"


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("/home/me/models/SmolLM2-Q4_1.gguf", 24, "/home/m…molLM2-Q4_1.gguf"),
        ("bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", 30, "bartowski…Instruct-GGUF:Q4_K_M"),
        ("a/b:Q8_0", 12, "a/b:Q8_0    "),
        ("模型模型模型.gguf", 12, "模…模型.gguf"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_cut_name_keeps_its_end(name: str, width: int, shown: str) -> None:
    assert fit_name(name, width) == shown


texts = st.text(max_size=30)


@pytest.mark.slow
@given(st.lists(st.tuples(texts, texts, texts, texts), max_size=5), st.integers(24, 120))
def test_lines_are_never_wider_than_the_terminal(rows: list[tuple[str, str, str, str]], width: int) -> None:
    columns = (Column("MODEL", least=8), Column("SIZE", least=4), COLUMNS[2], COLUMNS[3])
    for line in table(columns, rows, width):
        assert cell_width(line) <= width


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_pipes_get_neither_colour_nor_cutting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    terminal, pipe = Terminal(), io.StringIO()
    tables.print_table(COLUMNS, ROWS, terminal)
    tables.print_table(COLUMNS, ROWS, pipe)
    assert terminal.getvalue().startswith("\x1b[1mMODEL")
    assert "LICENSE" not in terminal.getvalue()
    assert "\x1b" not in pipe.getvalue()
    assert "apache-2.0" in pipe.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    tables.print_table(COLUMNS, ROWS, terminal := Terminal())
    assert "\x1b" not in terminal.getvalue()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, ""),
        (0, "0"),
        (950, "950"),
        (999, "999"),
        (1000, "1k"),
        (1234, "1.23k"),
        (999_499, "999k"),
        (999_500, "1M"),
        (134_515_008, "135M"),
        (1_235_814_432, "1.24B"),
        (671_026_404_352, "671B"),
    ],
)
def test_counts_are_shortened_to_three_digits(number: int | None, text: str) -> None:
    assert in_short(number) == text


def test_joined_emoji_takes_two_cells_and_is_cut_whole() -> None:
    family = "👨\u200d👩\u200d👧"
    assert cell_width(family) == 2
    assert fit(f"{family} at home", 6, right=False) == f"{family} at…"
    for width in range(2, 12):
        for text in (f"ab{family}cd❤️ef" * 3, "日本語のモデル名です"):
            assert cell_width(fit(text, width, right=False)) == width
            assert cell_width(fit_name(text, width)) == width
