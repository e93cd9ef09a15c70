"""Let all programs of a test run share parsed stylesheets.

Every program parses the same fifty stylesheets, a fifth of its start. Nothing changes parsed rules:
Textual itself reuses them within one program.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_parsed: dict[tuple[Any, ...], list[RuleSet]] = {}


@contextmanager
def shared_stylesheets() -> Iterator[None]:
    """Within the context, parse each stylesheet once for each set of variables, such as a theme."""
    parse_rules = Stylesheet._parse_rules

    def parse_once(self: Stylesheet, css: str, *where: Any, **options: Any) -> list[RuleSet]:
        key = (css, *where, *options.items(), *self._variables.items())
        if key not in _parsed:
            _parsed[key] = parse_rules(self, css, *where, **options)
        return _parsed[key]

    with patch.object(Stylesheet, "_parse_rules", parse_once):
        yield
