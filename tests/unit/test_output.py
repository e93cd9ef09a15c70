"""What commands print."""

from __future__ import annotations

import json
import sys

import pytest

from spnl_tui.headless.output import print_json

NAME = "org/\u202egnp.exe\u2066\x9b31m 漢字 ok"


@pytest.mark.parametrize("terminal", [True, False])
def test_json_reorders_no_line_of_a_terminal(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    print_json({"name": NAME}, indent=1)
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": NAME}
    assert ("\u202e" in printed) == (not terminal)
    assert ("\x9b" in printed) == (not terminal)
    assert "漢字" in printed
