"""Many answers in a real terminal, with the real model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.stored import finished_replies
from tests.support.terminal import Terminal
from tests.support.waiting import is_running

ENTER, RIGHT, CTRL_Q = "\r", "\x1b[C", "\x11"
narrow = pytest.mark.parametrize(("columns", "rows"), [(80, 24)])


def start(model: Path, folder: Path, columns: int, rows: int, temperature: float) -> Terminal:
    """The interface, with short replies."""
    config = folder / "config.toml"
    config.write_text(
        f'[model]\ndefault = "{model}"\n[sampling]\ntemperature = {temperature}\nmax_tokens = 12\n'
    )
    command = [sys.executable, "-m", "spnl_tui", "--config", str(config)]
    return Terminal(command, columns=columns, rows=rows)


def ended(text: str) -> int:
    """How many candidates have ended."""
    return text.count("done ·") + text.count("cut off ·")


def quit_and_look(terminal: Terminal) -> None:
    """Quit: in order, and nothing is left running."""
    children = psutil.Process(terminal.process.pid).children(recursive=True)
    pids = [child.pid for child in children if "mistralrs.runner.program" in " ".join(child.cmdline())]
    assert pids
    terminal.send(CTRL_Q)
    assert terminal.wait_end() == 0
    assert not any(map(is_running, pids))


@narrow
def test_three_candidates_of_which_the_second_is_picked(
    starter_gguf: Path, tmp_path: Path, columns: int, rows: int
) -> None:
    with start(starter_gguf, tmp_path, columns, rows, 0.8) as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send("/n 3 Write a tagline for a bakery." + ENTER)
        terminal.wait_for(lambda text: ended(text) == 3 and "ready" in text, 180)
        terminal.send(RIGHT + ENTER)
        terminal.wait_for("2 of 3", 30)
        terminal.send("Name the capital of France." + ENTER)
        screen = terminal.wait_for(lambda text: finished_replies(tmp_path) == 4 and "ready" in text, 120)
        assert "2 of 3" in screen
        assert "Name the capital of France." in screen
        quit_and_look(terminal)


@narrow
def test_two_quantizations_are_compared_and_judged(
    starter_gguf: Path, requantized: Callable[[str], Path], tmp_path: Path, columns: int, rows: int
) -> None:
    other = tmp_path / "second.Q8_0.gguf"
    other.hardlink_to(requantized("Q8_0"))
    with start(starter_gguf, tmp_path, columns, rows, 0) as terminal:
        terminal.wait_for("Ask something", 60)
        terminal.send(f"/compare {starter_gguf} {other} -- Name the capital of France." + ENTER)
        screen = terminal.wait_for(lambda text: ended(text) == 2 and "ready" in text, 180)
        assert "1 SmolLM2" in screen
        assert "2 second" in screen
        assert screen.count("Paris") == 2
        terminal.send("/judge correctness" + ENTER)
        terminal.wait_for("is the best.", 180)
        terminal.wait_for("ready", 30)
        quit_and_look(terminal)
