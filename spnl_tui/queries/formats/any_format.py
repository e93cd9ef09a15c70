"""Read a query from a text in either format."""

from __future__ import annotations

from spnl_tui.queries.formats.json_format import read_json
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.source import Parameters
from spnl_tui.queries.tree import Query


def read_query(text: str, parameters: Parameters | None = None) -> Query:
    """Return the query in `text`: JSON if it begins like an object or an array, Lisp otherwise.

    Raises:
        QuerySyntaxError: the text is not a query. It says where, and what was expected.
    """
    text = text.removeprefix("\ufeff")  # a byte order mark
    read = read_json if text.lstrip()[:1] in ("{", "[") else read_lisp
    return read(text, parameters)
