"""Shell completions in a real bash, and the man page in a real man."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spnl_tui.cli.main import cli

_COMPLETE = """
eval "$(spnl-chat completions bash)"
COMP_WORDS=(spnl-chat {words}) COMP_CWORD={index} COMPREPLY=()
_spnl_chat_completion spnl-chat
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def spnl(*arguments: str) -> str:
    command = [sys.executable, "-m", "spnl_tui", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture
def path(tmp_path: Path) -> str:
    """The search path, with the program in front."""
    program = tmp_path / "bin" / "spnl-chat"
    program.parent.mkdir()
    start = "import sys; sys.argv[0] = 'spnl-chat'; from spnl_tui.__main__ import main; main()"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start}" "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("do", ["plain,doctor"]),
        ("history ex", ["plain,export"]),
        ("search --sort tr", ["plain,trending"]),
        ("run --sche", ["plain,--schema"]),
    ],
)
def test_bash_completes_commands_options_and_choices(words: str, expected: list[str], path: str) -> None:
    script = _COMPLETE.format(words=words, index=len(words.split()))
    result = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": path},
    )
    assert result.stdout.split() == [each.removeprefix("plain,") for each in expected], result.stderr


@pytest.mark.parametrize(("shell", "checker"), [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")])
def test_completion_script_is_valid_in_its_shell(shell: str, checker: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(spnl("completions", shell))
    assert "_SPNL_CHAT_COMPLETE" in script.read_text()
    if shutil.which(checker):
        subprocess.run([checker, "-n", str(script)], check=True, timeout=30)


def test_man_page_names_every_command_and_renders_without_warnings(tmp_path: Path) -> None:
    page = tmp_path / "spnl-chat.1"
    page.write_text(spnl("man"))
    for name in cli.commands:
        assert f".SS spnl\\-chat {name}" in page.read_text()
    if shutil.which("groff"):
        command = ["groff", "-man", "-Tutf8", "-ww", "-z", str(page)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert result.stderr == ""
