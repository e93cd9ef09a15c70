"""The prompt in a real terminal, with the real model: commands, files, pastes, copying, finding."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.terminal import Terminal

CTRL_SLASH, UP, ESCAPE = "\x1f", "\x1b[A", "\x1b"
PROGRAM = """\
#!{python}
import pathlib, sys
pathlib.Path({out!r}).write_bytes(sys.stdin.buffer.read())
"""


@pytest.mark.parametrize(("columns", "rows"), [(80, 24)])
def test_a_file_and_a_paste_are_sent_found_and_copied(
    starter_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, rows: int
) -> None:
    config, out, program = tmp_path / "config.toml", tmp_path / "copied", tmp_path / "bin" / "xclip"
    config.write_text(f'[model]\ndefault = "{starter_gguf}"\n[sampling]\ntemperature = 0\nmax_tokens = 8\n')
    program.parent.mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, out=str(out)))
    program.chmod(0o755)
    (tmp_path / "notes.md").write_text("The needle is here.\n")
    monkeypatch.chdir(tmp_path)
    path = {"PATH": f"{program.parent}:{os.environ['PATH']}", "DISPLAY": ":0", "WAYLAND_DISPLAY": ""}
    repository = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "spnl_tui", "--config", str(config)]
    with Terminal(command, columns=columns, rows=rows, env={**path, "PYTHONPATH": repository}) as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("Sum up @not")
        terminal.wait_for("  notes.md")
        terminal.send("\tand ")
        terminal.send("\x1b[200~" + "".join(f"line {number}\r" for number in range(20)) + "\x1b[201~")
        terminal.wait_for("Sum up @notes.md and [pasted 20 lines]")
        terminal.send("\r")
        terminal.wait_for(lambda text: "ready" in text and "tokens at" in text, 120)
        terminal.send(CTRL_SLASH)
        terminal.wait_for("Find in this conversation")
        terminal.send("LINE 7")
        screen = terminal.wait_for(lambda text: "turn 1 of 1" in text and "@notes.md (19 B, " in text)
        assert "`notes.md`:" not in screen
        terminal.send(ESCAPE)
        terminal.wait_for(lambda text: "turn 1 of 1" not in text)
        terminal.send("/cop")
        terminal.wait_for("/copy [all|code]")
        terminal.send("y\r")
        terminal.wait_for("The prompt was copied")
        copied = out.read_text()
        files = "`notes.md`:\n```md\nThe needle is here.\n```\n\n"
        assert copied.startswith(f"{files}Sum up @notes.md and line 0\nline 1\n")
        terminal.send(UP + UP)
        terminal.wait_for("Sum up @notes.md and [pasted 20 lines]")
        terminal.send("\x15/quti\r")  # ctrl+u
        terminal.wait_for("No such command")
        terminal.send("\x15/quit\r")
        assert terminal.wait_end() == 0
