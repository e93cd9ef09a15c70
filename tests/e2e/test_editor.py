"""The user's editor in a real terminal, beside a reply of the real model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.stored import finished_replies
from tests.support.terminal import Terminal

ALT_E = "\x1be"
EDITOR = """\
import os, pathlib, signal, sys, time
file, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[0]).parent
print("EDITING", repr(file.read_text()[:-1]), flush=True)
while not (folder / "go").exists():
    time.sleep(0.05)
file.write_text("Edited\\nin two lines\\n")
if (folder / "go").read_text() == "ctrl+c":
    os.kill(0, signal.SIGINT)  # as a terminal does: everyone in the process group has it
    time.sleep(10)
sys.exit(int((folder / "go").read_text()))
"""


def open_terminal(starter_gguf: Path, tmp_path: Path) -> Terminal:
    editor, config = tmp_path / "editor.py", tmp_path / "config.toml"
    editor.write_text(EDITOR)
    config.write_text(f'[model]\ndefault = "{starter_gguf}"\n[sampling]\ntemperature = 0\nmax_tokens = 60\n')
    data = {"XDG_DATA_HOME": str(tmp_path / "data"), "VISUAL": f"{sys.executable} {editor}"}
    return Terminal([sys.executable, "-m", "spnl_tui", "--config", str(config)], env=data)


def test_a_reply_streams_and_is_saved_while_the_editor_has_the_terminal(
    starter_gguf: Path, tmp_path: Path
) -> None:
    with open_terminal(starter_gguf, tmp_path) as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("Write a long story about a ship and its crew.\r")
        terminal.wait_for("replying", 120)
        terminal.send("Next question")
        terminal.wait_for("Next question")
        terminal.send(ALT_E)
        screen = terminal.wait_for("EDITING 'Next question'")
        assert (
            terminal.wait_for(lambda text: finished_replies(tmp_path) == 1, 120) == screen
        )  # nothing is drawn
        (tmp_path / "go").write_text("0")
        screen = terminal.wait_for(lambda text: "in two lines" in text and "ready" in text)
        assert "EDITING" not in screen
        terminal.send(" and on\x11")  # ctrl+q
        assert terminal.wait_end() == 0


@pytest.mark.parametrize("how", ["3", "ctrl+c"])
def test_an_editor_that_fails_leaves_the_prompt_as_it_was(
    starter_gguf: Path, tmp_path: Path, how: str
) -> None:
    with open_terminal(starter_gguf, tmp_path) as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("As it was")
        terminal.wait_for("As it was")
        terminal.send(ALT_E)
        terminal.wait_for("EDITING")
        (tmp_path / "go").write_text(how)
        # Both lines of the toast: what is read may end between them.
        told = "status 3" if how == "3" else "ended with"
        screen = terminal.wait_for(lambda text: told in text and "│ As it was" in text)
        assert ("status 3" in screen) == (how == "3")
        terminal.send("!")
        terminal.wait_for("As it was!")
