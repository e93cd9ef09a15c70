"""Tables at several widths: columns, or records where columns do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content

from spnl_tui.ui.chat.markdown.rendering import layout, parse

TABLES = json.loads((Path(__file__).parents[1] / "data" / "tables.json").read_text())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table['table'][:12]!r} {table['width']}")
def test_table_is_laid_out_for_the_width(table: dict[str, Any]) -> None:
    lines = [line.content.plain.rstrip() for line in layout(parse(table["table"]), table["width"])]

    assert lines[:-1] == table["lines"]
    assert all(Content(line).cell_length <= table["width"] for line in lines)
