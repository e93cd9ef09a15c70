"""kill -9 of the whole program in the middle of a reply: what was sent, and what had come, is there again."""

from __future__ import annotations

import re
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from spnl_tui.conversations.store import INTERRUPTED
from spnl_tui.paths import Paths
from tests.support.terminal import Terminal

PROGRAM = (sys.executable, "-m", "tests.support.fake_program")


def test_kill_9_in_mid_reply_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    for number, pause in enumerate((0.0, 0.4, 1.3)):
        with Terminal([*PROGRAM, *(["--resume"] if sent else [])]) as terminal:
            terminal.wait_for(lambda text: "idle" in text and "4.1k" in text, 60)
            if sent:
                terminal.wait_for(INTERRUPTED, 30)
            prompt = f"prompt-{number} tokens=400 delay=0.02"
            terminal.send(prompt + "\r")
            sent.append(prompt)
            terminal.wait_for("replying", 60)
            moment = time.monotonic()
            while time.monotonic() < moment + pause:
                terminal.read(0.05)
            seen_before = words(terminal)
            moment = time.monotonic()
            while time.monotonic() < moment + 1.0:  # what may be lost is what came in the last second
                terminal.read(0.05)
            terminal.process.send_signal(signal.SIGKILL)
            terminal.wait_end()
        prompts, replies = stored()
        assert prompts == sent
        assert len(replies) == len(sent)
        assert replies[-1].count("word-") >= seen_before > 0


def words(terminal: Terminal) -> int:
    """How many tokens of the reply have come, as the status line says."""
    found = re.search(r"(\d+) tokens? ", terminal.text)
    return int(found.group(1)) if found else 1


def stored() -> tuple[list[str], list[str]]:
    """Prompts and replies in the store, which must be sound."""
    file: Path = Paths.for_user().data / "conversations.db"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT role, text FROM turn ORDER BY key").fetchall()
    return [text for role, text in rows if role == "user"], [text for role, text in rows if role != "user"]
