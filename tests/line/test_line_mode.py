"""The line mode as a user meets it: the whole program on a terminal, read like a screen reader."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

REPOSITORY = str(Path(__file__).parents[2])
COMMAND = [sys.executable, "-m", "tests.support.fake_program", "--line"]
NOT_COLOUR = re.compile(r"\x1b(?!\[[0-9;]*m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")
"""Control characters other than colours, line ends and tabs."""


def environment(home: Path, term: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TERM": term,
        "LANG": "C.UTF-8",
        "PYTHONPATH": REPOSITORY,
        "PROMPT_TOOLKIT_NO_CPR": "1",
        "HF_HUB_OFFLINE": "1",
    }


class Dialogue:
    """A user at the line mode."""

    def __init__(self, home: Path, term: str = "dumb", *arguments: str) -> None:
        self.program: pexpect.spawn[str] = pexpect.spawn(
            COMMAND[0],
            [*COMMAND[1:], *arguments],
            env=environment(home, term),
            cwd=str(home),
            encoding="utf-8",
            timeout=20,
            dimensions=(24, 80),
        )
        self.heard = ""

    def hear(self, words: str) -> str:
        """Wait for these words, and return what came before and with them."""
        self.program.expect_exact(words)
        text = f"{self.program.before}{self.program.after}"
        self.heard += text
        return text

    def say(self, text: str) -> None:
        self.hear("you> ")
        self.program.sendline(text)

    def leave(self) -> int:
        self.program.expect(pexpect.EOF)
        self.heard += str(self.program.before)
        self.program.close()
        return int(self.program.exitstatus or 0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "notes.md").write_text("The secret word is plum.\n")
    return tmp_path


@pytest.mark.slow
def test_first_hour_on_a_dumb_terminal_needs_no_control_sequences(home: Path) -> None:
    user = Dialogue(home)
    user.hear("/help lists commands, /exit leaves.")
    user.say("compost question")
    assert "word-" in user.hear("context")
    user.say("delay=0.05 tokens=400 a long story")
    user.hear("word-")
    user.program.sendintr()
    user.hear("stopped. /continue continues")
    user.say("/edit tokens=2 shorter")
    user.hear("2 tokens")
    user.say("/branch")
    user.hear("* 2  you: tokens=2 shorter")
    user.say("/branch 1")
    user.hear("stopped")
    user.say("/n 2 tokens=1 Pick")
    user.hear("/pick NUMBER")
    user.say("/pick 2")
    user.hear("continues with candidate 2")
    user.say("What is in @notes.md?")
    user.hear("attached notes.md: 24 B")
    user.say("/rename My plums")
    user.hear("renamed to My plums")
    user.say("/search compost")
    user.hear("My plums")
    user.say("/new")
    user.say("/open 1")
    user.hear("What is in")
    user.say("/delete")
    user.say("/undo")
    user.hear("What is in")
    user.say("/export")
    user.hear("my-plums.md")
    user.say("/nope")
    user.hear("/nope does not exist.")
    user.say("/quit")

    assert user.leave() == 0
    assert NOT_COLOUR.findall(user.heard) == []
    assert (home / "my-plums.md").exists()
    resumed = Dialogue(home, "dumb", "--resume")
    resumed.hear("My plums")
    resumed.hear("you> ")
    resumed.program.sendeof()
    assert resumed.leave() == 0


@pytest.mark.slow
def test_ctrl_c_at_the_prompt_says_how_to_leave(home: Path) -> None:
    user = Dialogue(home)
    user.hear("you> ")
    user.program.send("half a promp")
    user.program.sendintr()
    user.hear("Ctrl+D or /exit leaves")
    user.say("/exit")

    assert user.leave() == 0


@pytest.mark.slow
def test_capable_terminal_has_history_and_completion(home: Path) -> None:
    user = Dialogue(home, "xterm")
    user.hear("you>")
    user.program.send("/hel\t")
    user.hear("p")
    user.program.send("\r")
    user.hear("Ctrl+D leaves.")
    user.program.send("tokens=1 first\r")
    user.hear("1 token,")
    user.hear("you>")
    user.program.send("\x1b[A")
    user.hear("tokens=1 first")
    user.program.send("\x15/exit\r")

    assert user.leave() == 0


@pytest.mark.slow
def test_script_from_a_pipe_is_answered_line_by_line(home: Path) -> None:
    done = subprocess.run(
        COMMAND,
        input='one\n"""two\nlines"""\n/info\n',
        capture_output=True,
        text=True,
        cwd=home,
        env=environment(home, "dumb"),
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("word-") == 10
    assert "Turns         4" in done.stdout
    assert "\x1b" not in done.stdout
