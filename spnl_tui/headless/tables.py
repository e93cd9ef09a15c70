"""Print tables: as narrow as the terminal, or in full into a pipe."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

from spnl_tui.headless.output import colour
from spnl_tui.tables import Column, table


def print_table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], stream: TextIO | None = None
) -> None:
    """Print a table. On a terminal, its titles are bold and it is no wider than the terminal."""
    stream = stream or sys.stdout
    lines = table(columns, rows, terminal_width(stream))
    if colour(stream):
        lines[0] = f"\x1b[1m{lines[0]}\x1b[0m"
    print("\n".join(lines), file=stream)


def terminal_width(stream: TextIO) -> int | None:
    """Return the width of the terminal in cells; None if the stream is not a terminal."""
    return shutil.get_terminal_size().columns if stream.isatty() else None
