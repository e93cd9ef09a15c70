"""Shell completions in a real bash, and the man page in a real man."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spnl_tui.cli.main import cli
from tests.support import other_programs as others
from tests.support.gguf_maker import make_gguf

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


@pytest.fixture
def stored(tmp_path: Path) -> str:
    """Put a model of Ollama's and a conversation into the home; return the conversation's id."""
    home = Path.home()
    others.add_ollama(home / ".ollama/models", "library/smol/135m", make_gguf(tmp_path / "m.gguf"))
    file = tmp_path / "x.jsonl"
    file.write_text('{"id": "x-0123456789abcdef01234567", "messages": [{"role": "user", "content": "Hi"}]}\n')
    spnl("history", "import", str(file))
    return "x-0123456789abcdef01234567"


def test_bash_completes_models_and_conversations(path: str, stored: str) -> None:
    script = _COMPLETE.format(words="run -m ollama:s", index=3) + _COMPLETE.format(
        words="history show x-0", index=3
    )
    result = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60
    )
    assert result.stdout.splitlines() == ["ollama:smol:135m", stored], result.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_models_and_conversations(path: str, stored: str) -> None:
    script = (
        "spnl-chat completions fish | source; complete -C 'spnl-chat run -m ollama:'; "
        "complete -C 'spnl-chat history show x-'"
    )
    result = subprocess.run(
        ["fish", "--no-config", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["ollama:smol:135m", stored]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_models(path: str, stored: str) -> None:
    import pexpect

    env = {**os.environ, "PATH": path, "TERM": "dumb"}
    with pexpect.spawn("zsh", ["-f", "-i"], env=env, encoding="utf-8", timeout=60) as shell:
        shell.sendline("PS1='> '; autoload -U compinit; compinit -u -D; print R''EADY")
        shell.expect("READY")
        shell.sendline('eval "$(spnl-chat completions zsh)"; print D""ONE')
        shell.expect("DONE")
        shell.send("print spnl-chat\x15spnl-chat run -m ollama:s\t")
        shell.expect("ollama.?:smol.?:135m")
