"""The prompt of `spnl-chat run`."""

from __future__ import annotations

import pytest

from spnl_tui.errors import RequestError
from spnl_tui.headless.run_prompt import read_prompt


def test_questions_about_one_piped_text_begin_alike() -> None:
    assert read_prompt("Where?", "a long text\n") == "a long text\n\nWhere?"
    assert read_prompt("Where?", None) == read_prompt("Where?", " \n") == "Where?"
    assert read_prompt(None, "text\n") == "text"
    with pytest.raises(RequestError, match="no prompt"):
        read_prompt(" ", "\n")
