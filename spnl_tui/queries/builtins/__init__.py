"""The built-in queries: SPNL's, as query files to read and learn from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

from spnl_tui.errors import QueryError
from spnl_tui.queries.formats.lisp import read_lisp
from spnl_tui.queries.source import Parameters, nearest
from spnl_tui.queries.tree import Query

BUILTINS = ("email", "email2", "bulkmap", "gsm8k")


@dataclass(frozen=True, slots=True)
class Builtin:
    """A query file of the package, described by its first comment."""

    name: str
    source: str

    @property
    def description(self) -> str:
        """A description in a sentence or two."""
        lines = re.match(r"(?:;.*\n)*", self.source)
        assert lines is not None
        return " ".join(line.lstrip("; ") for line in lines[0].splitlines())

    def query(self, *, model: str, n: int = 5, temperature: float = 0.5, max_tokens: int = 100) -> Query:
        """Return the query with these values. The defaults are SPNL's.

        Raises:
            QuerySyntaxError: a value is out of range.
        """
        values: Parameters = {"model": model, "n": n, "temperature": temperature, "max_tokens": max_tokens}
        return read_lisp(self.source, values)


def builtins() -> tuple[Builtin, ...]:
    """Return all built-in queries."""
    return tuple(builtin(name) for name in BUILTINS)


def builtin(name: str) -> Builtin:
    """Return the built-in query of that name.

    Raises:
        QueryError: no built-in query has that name.
    """
    if name not in BUILTINS:
        raise QueryError("Unknown builtin", f"There is no builtin {name!r}.", nearest(name, BUILTINS))
    return Builtin(name, (resources.files(__name__) / f"{name}.lisp").read_text(encoding="utf-8"))
