"""The prompt in the user's own editor. In a real terminal: tests/e2e/test_editor.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from spnl_tui.errors import EditorError
from spnl_tui.ui.chat.input.editor import editor_command
from tests.support.waiting import wait_until
from tests.ui.support import chat


def test_editor_comes_from_the_environment(tmp_path: Path) -> None:
    assert editor_command({"VISUAL": "code --wait", "EDITOR": "vi"}) == ["code", "--wait"]
    assert editor_command({"VISUAL": " ", "EDITOR": "'my editor' -x"}) == ["my editor", "-x"]
    vi = tmp_path / "vi"
    vi.touch(0o755)
    assert editor_command({"PATH": str(tmp_path)}) == ["vi"]
    with pytest.raises(EditorError, match="There is no editor"):
        editor_command({"PATH": ""})
    with pytest.raises(EditorError, match="VISUAL"):
        editor_command({"VISUAL": "code '"})


async def test_editor_without_a_terminal_is_reported_and_keeps_the_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VISUAL", "false")
    async with chat() as it:
        it.prompt.insert("what I typed")
        await it.press("alt+e")
        await wait_until(lambda: it.app._notifications)
        (toast,) = it.app._notifications
        assert toast.title == "There is no terminal for an editor"
        assert it.prompt.text == "what I typed"
