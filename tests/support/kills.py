"""Kill the whole program with SIGKILL at random moments of streaming sessions, and check the store."""

from __future__ import annotations

import random
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.paths import Paths
from tests.support.terminal import Terminal

PROGRAM = (sys.executable, "-m", "tests.support.fake_program")
NEW_CONVERSATION = "\x0e"
SILENCE_S = 0.2
"""Seconds between two chunks after which the machine stands still; the fake engine sends one every 0.02 s."""
LATEST_S = 3.0
"""Seconds after Enter by which the program is killed."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One killed session, and what remained after a restart."""

    moment_s: float
    """Seconds after Enter."""
    taken: bool
    """True if the engine had received the prompt."""
    sent: int
    """Chunks sent by the engine."""
    kept: int
    """Chunks in the store."""
    lost_s: float
    """Seconds from the first missing chunk to the kill, less the time in which the machine stood still."""


def kills(folder: Path, count: int, seed: int, lost_at_most_s: float = 1.0) -> Iterator[Kill]:
    """Kill the program `count` times, each time after another prompt.

    The fake runner records in `folder` what it sends and when. Raise AssertionError if anything is wrong.
    """
    chance = random.Random(seed)
    prompts: list[str] = []
    prompt, log, moment, killed_at = "", Path(), 0.0, 0.0
    for number in range(count + 1):
        with Terminal([*PROGRAM, *(["--resume"] if prompts else [])]) as terminal:
            terminal.wait_for(lambda text: "ready" in text and ("4,096" in text or "4.1k" in text), 90)
            if prompt:
                kill = _judge(prompt, log, moment, killed_at)
                assert kill.lost_s <= lost_at_most_s, f"too much of a reply is lost: {kill}"
                if not kill.taken:
                    prompts.pop()
                assert [text for role, text, _ in stored() if role == "user"] == prompts
                if kill.kept:
                    terminal.wait_for("word-", 60)
                yield kill
            if number == count:
                return
            log = folder / f"{number}.log"
            # Some replies end before the kill, most do not; some start a new conversation.
            prompt = f"tokens={chance.choice((20, 400, 400))} delay=0.02 log={log}"
            prompts.append(prompt)
            terminal.send((NEW_CONVERSATION if chance.random() < 0.3 else "") + prompt + "\r")
            moment = chance.uniform(0, LATEST_S)
            end = time.monotonic() + moment
            while (left := end - time.monotonic()) > 0:
                terminal.read(min(left, 0.05))
            terminal.process.send_signal(signal.SIGKILL)
            killed_at = time.monotonic()
            terminal.wait_end()


def stored() -> list[tuple[str, str, str | None]]:
    """Return role, text and finish reason of every turn in the store, which must be intact."""
    with closing(sqlite3.connect(Paths.for_user().data / "conversations.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT role, text, finish_reason FROM turn ORDER BY key").fetchall()


def _judge(prompt: str, log: Path, moment: float, killed_at: float) -> Kill:
    """Compare what the engine sent with what the store holds."""
    turns = stored()
    assert all(reason is not None for role, _, reason in turns if role == "assistant")
    at = next((place for place, turn in enumerate(turns) if turn[1] == prompt), None)
    stamps = [float(line) for line in log.read_text().split()] if log.exists() else []
    stamps = [stamp for stamp in stamps if stamp < killed_at]
    prompts = [text for role, text, _ in turns if role == "user"]
    assert at is not None or not stamps, f"the engine had {prompt!r}, and the store has {prompts}"
    reply = turns[at + 1][1] if at is not None and at + 1 < len(turns) else ""
    kept = len(re.findall("word-", reply))
    chunks = stamps[1:]
    # An engine that sends nothing in the middle of a reply has no processor, and neither has the program.
    whole = len(chunks) >= int(prompt.removeprefix("tokens=").split()[0])
    still_s = 0.0 if whole or not chunks else max(0.0, killed_at - chunks[-1] - SILENCE_S)
    lost_s = killed_at - chunks[kept] - still_s if kept < len(chunks) else 0.0
    return Kill(moment, at is not None, len(chunks), min(kept, len(chunks)), lost_s)
