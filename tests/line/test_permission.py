"""The question before a call in line mode."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from spnl_tui.line.permission import ask_permission
from spnl_tui.line.printer import Printer
from spnl_tui.models.parts import ToolCallPart
from spnl_tui.tools.agent import Question
from spnl_tui.tools.toolbox import built_in_tools


@pytest.mark.parametrize(
    ("typed", "allowed", "reason", "rules"),
    [
        (["yes"], True, "", []),
        (["no, too risky"], False, "too risky", []),
        (["always"], True, "", ["run_command(make \x1b[31m)"]),
        (["y", "What is 2 + 2?", "no"], False, "", []),
        ([], False, "No user can be asked here.", []),
    ],
)
async def test_only_whole_words_answer(
    typed: list[str], allowed: bool, reason: str, rules: list[str], tmp_path: Path
) -> None:
    (tool,) = built_in_tools(["command"], tmp_path)
    prepared = await tool.prepare({"command": "make \x1b[31m"})
    call = ToolCallPart("a", "run_command", "{}")
    question = Question(call=call, tool=tool, effect=prepared.effect, model="m")
    out, kept = io.StringIO(), []
    printer = Printer(out, colour=False, show_thinking=False, clock=lambda: 0.0)

    async def ask(label: str) -> str | None:
        return typed.pop(0) if typed else None

    answer = await ask_permission(question, printer, ask, lambda rule: kept.append(str(rule)))
    assert (answer.allowed, answer.reason, kept) == (allowed, reason, rules)
    assert "make \\x1b[31m" in out.getvalue()
    assert "\x1b" not in out.getvalue()
