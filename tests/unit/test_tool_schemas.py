"""Tools as a request carries them."""

from __future__ import annotations

import pytest

from spnl_tui.errors import RequestError
from spnl_tui.models.tools import Tool


@pytest.mark.parametrize("name", ["", "two words", "a\x1b[31m", "ä", "x" * 129])
def test_tool_with_a_name_that_formats_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="name is not valid"):
        Tool(name=name)


@pytest.mark.parametrize("parameters", ["", "[]", "{", "[" * 100_000, '"object"'])
def test_tool_with_parameters_that_are_no_schema_is_refused(parameters: str) -> None:
    with pytest.raises(RequestError, match="parameters are not valid"):
        Tool(name="read", parameters=parameters)
