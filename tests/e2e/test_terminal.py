"""The whole program in a real terminal, with the real model: as a user meets it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.stored import finished_replies
from tests.support.terminal import Terminal
from tests.support.waiting import is_running

ENTER, ESCAPE, CTRL_Q, CTRL_N = "\r", "\x1b", "\x11", "\x0e"
APP = (sys.executable, "-m", "spnl_tui")


@pytest.fixture
def start(starter_gguf: Path, tmp_path: Path) -> Callable[..., Terminal]:
    """Start the interface on the real model, with greedy sampling."""
    config = tmp_path / "config.toml"
    config.write_text(f'[model]\ndefault = "{starter_gguf}"\n[sampling]\ntemperature = 0\n')

    def open_terminal(columns: int = 80, rows: int = 24) -> Terminal:
        return Terminal([*APP, "--config", str(config)], columns=columns, rows=rows)

    return open_terminal


def runners(terminal: Terminal) -> list[int]:
    """The runner processes of the program in this terminal."""
    children = psutil.Process(terminal.process.pid).children(recursive=True)
    return [child.pid for child in children if "mistralrs.runner.program" in " ".join(child.cmdline())]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24)])
def test_ask_follow_up_stop_ask_again_quit(start: Callable[..., Terminal], columns: int, rows: int) -> None:
    with start(columns, rows) as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("Name the capital of France." + ENTER)
        terminal.wait_for("The capital of France is Paris.", 120)
        terminal.wait_for("ready", 60)
        terminal.send("Name that city once more, in one word." + ENTER)
        terminal.wait_for(lambda text: "ready" in text and text.count("Paris") >= 2, 120)
        terminal.send("Write a long story about a ship and its crew." + ENTER)
        terminal.wait_for("replying", 120)
        terminal.send(ESCAPE)
        terminal.wait_for("stopped", 30)
        terminal.send(CTRL_N)
        terminal.wait_for(lambda text: "stopped" not in text, 30)
        terminal.send("Name the capital of France." + ENTER)
        terminal.wait_for(lambda text: "ready" in text and "Paris" in text, 120)
        pids = runners(terminal)
        assert pids
        terminal.send(CTRL_Q)
        assert terminal.wait_end() == 0
        assert not any(map(is_running, pids))


def test_prompt_accepts_keys_while_a_model_loads(
    start: Callable[..., Terminal],
) -> None:
    with start() as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.wait_for(lambda text: bool(runners(terminal)), 60)
        (pid,) = runners(terminal)
        os.kill(pid, signal.SIGSTOP)  # a load that takes as long as we like
        terminal.send("Name the capital")
        terminal.wait_for("Name the capital", 10)
        terminal.send(" of France." + ENTER)
        terminal.wait_for(lambda text: "loading" in text and "Ask something" in text, 10)
        terminal.send("and this is the next one")
        terminal.wait_for("and this is the next one", 10)
        os.kill(pid, signal.SIGCONT)
        screen = terminal.wait_for(lambda text: "Paris" in text and "ready" in text, 120)
        assert "and this is the next one" in screen


def test_attaching_a_binary_file_keeps_the_typed_text(start: Callable[..., Terminal]) -> None:
    with start() as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("typed \x1b[200~caf\udce9 \x1b[31mred\x1b[0m\x1b[201~ \udcff and")
        terminal.send("\x1bz\x1bt more")  # Alt keys that can do nothing here
        terminal.wait_for("typed caf\ufffd red \ufffd and more", 30)
        terminal.send(CTRL_Q)
        assert terminal.wait_end() == 0


def test_killed_runner_keeps_the_part_and_answers_the_next_prompt(
    start: Callable[..., Terminal],
) -> None:
    with start() as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("Write a long story about a ship and its crew." + ENTER)
        terminal.wait_for("replying", 120)
        terminal.wait_for(lambda text: "10 tokens" in text or " at " in text, 60)
        for pid in runners(terminal):
            os.kill(pid, signal.SIGKILL)
        terminal.wait_for("The engine stopped unexpectedly", 30)
        terminal.send(CTRL_N + "Name the capital of France." + ENTER)
        terminal.wait_for("Paris", 120)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_no_runner_outlives_the_program(start: Callable[..., Terminal], how: signal.Signals) -> None:
    with start() as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("Write a long story about a ship and its crew." + ENTER)
        terminal.wait_for("replying", 120)
        processes = [psutil.Process(pid) for pid in runners(terminal)]
        assert processes
        terminal.process.send_signal(how)
        status = terminal.wait_end()
        assert status == (-how if how == signal.SIGKILL else 128 + how)
        _, left = psutil.wait_procs(processes, timeout=10)
        assert left == []


@pytest.mark.parametrize("in_reply", [True, False])
def test_a_terminal_that_is_closed_ends_the_program_and_the_reply_is_kept(
    start: Callable[..., Terminal], tmp_path: Path, in_reply: bool
) -> None:
    with start() as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.wait_for("ready", 60)
        processes = [psutil.Process(pid) for pid in runners(terminal)]
        if in_reply:
            terminal.send("Write a long story about a ship and its crew." + ENTER)
            terminal.wait_for("replying", 120)
        terminal.hang_up()  # it is no session's own terminal, so that no signal comes
        assert terminal.process.wait(10) == 128 + signal.SIGHUP
        _, left = psutil.wait_procs(processes, timeout=10)
        assert left == []
        assert finished_replies(tmp_path) == (1 if in_reply else 0)
