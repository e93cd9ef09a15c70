"""A conversation with the real model in a real terminal: branched, forked, found, exported, imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spnl_tui.conversations.exchange.imports import read_file
from tests.support.terminal import Terminal

ENTER, BACKSPACE, CTRL_E, CTRL_F, CTRL_Q = "\r", "\x7f", "\x05", "\x06", "\x11"
ALT_LEFT, ALT_K, ALT_J = "\x1b[1;3D", "\x1bk", "\x1bj"
APP = (sys.executable, "-m", "spnl_tui")


def spnl(*arguments: str, **environment: str) -> str:
    run = subprocess.run(
        [*APP, *arguments], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def has_ended(text: str) -> bool:
    """Whether the status line has the figures of a whole reply."""
    return "ready" in text and " tokens" in text


def answered_below(line: str, text: str) -> bool:
    """Return True if there is a reply below the line that holds this, above the prompt."""
    return bool(re.search(rf"{line}.*\n[^╭]*[A-Za-z]", text))


def test_ask_edit_walk_back_fork_search_jump_export_import(
    starter_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[model]\ndefault = "{starter_gguf}"\n[sampling]\ntemperature = 0\nmax_tokens = 8\n'
        "[chat]\nautomatic_titles = false\n"
    )
    exported = tmp_path / "exported"
    exported.mkdir()
    monkeypatch.chdir(exported)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with Terminal([*APP, "--config", str(config)]) as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("Name the capital of France." + ENTER)
        terminal.wait_for(lambda text: "Paris" in text and has_ended(text), 120)

        terminal.send(CTRL_E)
        terminal.wait_for("sends it as a second version", 20)
        terminal.send(BACKSPACE * len("France."))
        terminal.wait_for("│ Name the capital of  ", 20)
        terminal.send("Italy." + ENTER)
        terminal.wait_for(lambda text: answered_below("2 of 2", text) and has_ended(text), 120)
        terminal.send(ALT_LEFT)
        terminal.wait_for(lambda text: "Paris" in text and "1 of 2" in text, 20)

        terminal.send(ALT_K)
        terminal.wait_for("A conversation of its own", 20)
        terminal.wait_for(lambda text: "Paris" in text and "1 of 2" not in text, 20)

        terminal.send(CTRL_F)
        terminal.wait_for("Enter goes there", 20)
        terminal.send("paris")
        terminal.wait_for(lambda text: "2 found" in text and "Reply:" in text, 20)
        terminal.send(ENTER)
        terminal.wait_for(lambda text: "Paris" in text and "Enter goes there" not in text, 20)

        terminal.send(ALT_J)
        terminal.wait_for("Exported to", 20)
        terminal.send(CTRL_Q)
        assert terminal.wait_end() == 0
    (file,) = exported.iterdir()
    (conversation,) = read_file(file)
    assert any("Paris" in turn.text for turn in conversation.turns())

    elsewhere = str(tmp_path / "elsewhere")
    spnl("history", "import", str(file), XDG_DATA_HOME=elsewhere)
    assert spnl("history", "export", XDG_DATA_HOME=elsewhere) == file.read_text()
    # Both conversations of the first store survive the same way.
    both = tmp_path / "both.json"
    both.write_text(spnl("history", "export"))
    assert len(read_file(both)) == 2
    third = str(tmp_path / "third")
    spnl("history", "import", str(both), XDG_DATA_HOME=third)
    assert spnl("history", "export", XDG_DATA_HOME=third) == both.read_text()
