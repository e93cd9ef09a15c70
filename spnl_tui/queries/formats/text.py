"""A query from a text, in whichever of the two forms it is."""

from __future__ import annotations

from spnl_tui.queries.formats.json_format import read_json
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.source import Parameters
from spnl_tui.queries.tree import Query


def read_query(text: str, parameters: Parameters | None = None) -> Query:
    """The query that `text` holds: JSON if it begins like an object or an array, Lisp otherwise.

    Raises:
        QuerySyntaxError: it is not a query; says where, and what was expected.
    """
    text = text.removeprefix("\ufeff")  # a byte order mark
    read = read_json if text.lstrip()[:1] in ("{", "[") else read_lisp
    return read(text, parameters)
