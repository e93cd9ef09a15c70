"""Standard input as text."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

from spnl_tui.conversations.records import well_formed


def prepare_streams() -> None:
    """Make the standard streams what the program expects, before anything uses them."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        # Some locales are strict, and would end the program at the first byte that is not text.
        sys.stdin.reconfigure(errors="surrogateescape")


def read_input() -> str:
    """The whole of standard input."""
    return "".join(input_lines())


def input_lines() -> Iterator[str]:
    """The lines of standard input. If not all of it is UTF-8, that is said once."""
    said = False
    for line in sys.stdin:
        clean = well_formed(line) if said else in_utf8(line, "Standard input")
        said = said or clean != line
        yield clean


def in_utf8(text: str, where: str) -> str:
    """The text with � for each byte that is not UTF-8. If there is one, standard error says where."""
    clean = well_formed(text)
    if clean != text:
        print(f"{where} has bytes that are not UTF-8. Each was replaced by �.", file=sys.stderr)
    return clean
