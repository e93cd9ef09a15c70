"""Reading prompts of one and several lines, and completing commands and files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from spnl_tui.line.reading import read_prompt
from spnl_tui.line.repl import complete


class Lines:
    """A reader that has these lines."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)

    async def read(self, label: str, default: str = "") -> str | None:
        return self._lines.pop(0) if self._lines else None

    def remember(self, prompts: Iterable[str]) -> None:
        pass

    def interrupt(self) -> None:
        pass


@pytest.mark.parametrize(
    ("lines", "prompt"),
    [
        (["Hello"], "Hello"),
        (["one \\", "two"], "one \ntwo"),
        (["one \\"], "one"),
        (["C:\\\\"], "C:\\\\"),
        (['"""one', "", 'two"""'], "one\n\ntwo"),
        (['"""one"""'], "one"),
        (['"""'], ""),
        ([], None),
    ],
)
async def test_prompt_may_have_several_lines(lines: list[str], prompt: str | None) -> None:
    assert await read_prompt(Lines(*lines), "you> ") == prompt


def test_commands_and_mentioned_files_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.md").touch()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").touch()

    assert [text for text, _, _ in complete("/ex")] == ["/exit", "/export"]
    assert complete("/exit now") == []
    assert [text for text, _, _ in complete("read @")] == ["@home/", "@notes.md", "@src/"]
    assert [text for text, _, _ in complete("read @src/a")] == ["@src/app.py"]
    assert complete("mail me@") == []
