"""kill -9 at random moments of a streaming session: what was saved is there, and the file is sound."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path

import pytest

from spnl_tui.conversations.storage.store import Store

pytestmark = pytest.mark.slow
KILLS = 50

PROGRAM = r"""
import asyncio, os, sys
from pathlib import Path
from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage.recorder import ReplyRecorder
from spnl_tui.conversations.storage.store import Store

class TellingStore(Store):
    async def save_turn(self, conversation, turn):
        await super().save_turn(conversation, turn)
        # One write each: a kill cannot leave half a line.
        os.write(1, f"{conversation.id} {turn.id} {turn.role} {len(turn.text)}\n".encode())

async def main():
    store = await TellingStore.open(Path(sys.argv[1]))
    assert store.problem is None
    conversation = Conversation()
    while True:
        prompt = conversation.add_turn("user", "prompt " * 50)
        await store.save_turn(conversation, prompt)
        reply = conversation.add_turn("assistant")
        recorder = ReplyRecorder(store, conversation, reply.id, interval_s=0.002)
        for _ in range(20):
            conversation.append(reply.id, "some words of the reply ")
            recorder.changed()
            await asyncio.sleep(0.001)
        conversation.finish(reply.id, "stop")
        await recorder.finish()

# Sessions are forked from one process that has imported everything: fifty interpreters take far longer.
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.write(1, f"{os.getpid()}\n".encode())
        asyncio.run(main())
    os.waitpid(pid, 0)
    os.write(1, b"ended\n")
"""


async def killed_session(
    program: asyncio.subprocess.Process, after_s: float
) -> list[tuple[str, str, str, int]]:
    """Run a session and kill it. Returns what it said that it had saved: conversation, turn, role, length."""
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write(b"begin\n")
    pid = int(await program.stdout.readline())
    told = [await program.stdout.readline()]
    await asyncio.sleep(after_s)
    os.kill(pid, signal.SIGKILL)
    while (line := await program.stdout.readline()) != b"ended\n":
        told.append(line)
    return [(a, b, c, int(d)) for a, b, c, d in (line.decode().split() for line in told)]


def check_integrity(path: Path) -> None:
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.execute("INSERT INTO turn_index (turn_index, rank) VALUES ('integrity-check', 0)")
    connection.close()


async def test_saved_turns_survive_fifty_kills(tmp_path: Path) -> None:
    path = tmp_path / "conversations.db"
    chance = random.Random(6)
    saved: dict[tuple[str, str], tuple[str, int]] = {}
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    for _ in range(KILLS):
        for conversation, turn, role, length in await killed_session(program, chance.uniform(0, 0.15)):
            saved[conversation, turn] = role, length
        check_integrity(path)
    await program.communicate(b"")
    store = await Store.open(path)
    assert store.problem is None
    loaded = {id: await store.load(id) for id in {conversation for conversation, _ in saved}}
    assert len(loaded) == KILLS
    for (conversation, turn), (role, length) in saved.items():
        stored = loaded[conversation][turn]
        assert stored.role == role
        assert len(stored.text) >= length
    for conversation_ in loaded.values():
        assert not any(turn.streaming for turn in conversation_.turns())
    await store.close()
