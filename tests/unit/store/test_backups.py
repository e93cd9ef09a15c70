"""The store as a file: checked, copied, restored and merged, also if a program is killed meanwhile."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from spnl_tui.conversations.storage import backups
from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import StoreError
from tests.support.conversations import talk
from tests.support.history_command import command, history, store_of

KILLS = 20


async def write(path: Path, *prompts: str) -> None:
    store = await Store.open(path)
    for prompt in prompts:
        await store.add(talk(prompt, "Yes."))
    await store.close()


def restore_elsewhere(path: Path, backup: Path) -> str:
    """Restore in another process, and return its errors."""
    program = (
        "import sys; from pathlib import Path\n"
        "from spnl_tui.conversations.storage import backups\n"
        "backups.restore(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    words = [sys.executable, "-c", program, str(path), str(backup)]
    return subprocess.run(words, capture_output=True, text=True).stderr


def copy_damaged(path: Path, damaged: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = b"\xff" * 8192
    damaged.write_bytes(content)


def killed(home: Path, *arguments: str | Path, after_s: float) -> None:
    """Run a command, and kill it if it runs longer."""
    words, environ = command(home, *arguments)
    with subprocess.Popen(words, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as it:
        try:
            it.wait(after_s)
        except subprocess.TimeoutExpired:
            it.send_signal(signal.SIGKILL)


def counts(path: Path) -> tuple[int, int]:
    found = backups.check(path)
    assert found.problems == ()
    return found.conversations, found.turns


def said_in(path: Path) -> set[tuple[str, str]]:
    """Return the id and text of every turn in a sound store."""
    assert backups.check(path).problems == ()
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("SELECT id, text FROM turn WHERE NOT deleted"))


async def test_backup_of_an_open_store_is_whole(path: Path, store: Store, tmp_path: Path) -> None:
    await store.add(talk("One", "Yes."))
    target = tmp_path / "copies/backup.db"
    assert backups.back_up(path, target) == target.stat().st_size
    assert counts(target) == (1, 2)
    assert [each.name for each in target.parent.iterdir()] == ["backup.db"]


async def test_restore_keeps_the_store_of_before(path: Path, tmp_path: Path) -> None:
    await write(path, "One")
    backup = tmp_path / "backup.db"
    backups.back_up(path, backup)
    await write(path, "Two", "Three")
    aside = backups.restore(path, backup)
    assert aside is not None
    assert (counts(path), counts(aside)) == ((1, 2), (3, 6))
    store = await Store.open(path)
    assert store.problem is None
    await store.close()


async def test_restore_is_refused_while_the_store_is_open(path: Path, store: Store, tmp_path: Path) -> None:
    await store.add(talk("One", "Yes."))
    backups.back_up(path, tmp_path / "backup.db")
    # This process holds the lock, so another one must ask for it.
    assert "Conversations are in use" in restore_elsewhere(path, tmp_path / "backup.db")


async def test_damage_is_named_and_never_restored(path: Path, tmp_path: Path) -> None:
    await write(path, *(f"Prompt {number} {'word ' * 200}" for number in range(50)))
    damaged = tmp_path / "damaged.db"
    copy_damaged(path, damaged)
    assert backups.check(damaged).problems
    with pytest.raises(StoreError, match="damaged"):
        backups.restore(path, damaged)
    assert counts(path) == (50, 100)
    with pytest.raises(StoreError, match="does not exist"):
        backups.restore(path, tmp_path / "none.db")


async def test_daily_backups_are_limited(path: Path, tmp_path: Path) -> None:
    await write(path, "One")
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 6):
        (folder / f"conversations-2020-01-0{day}.db").touch()
    made = backups.back_up_today(path, folder, keep=3)
    assert made is not None
    names = [each.name for each in backups.backups_in(folder)]
    assert names == [
        f"conversations-{date.today().isoformat()}.db",
        "conversations-2020-01-05.db",
        "conversations-2020-01-04.db",
    ]
    assert backups.back_up_today(path, folder, keep=3) is None


@pytest.mark.slow
async def test_merge_adds_by_ids_and_changes_nothing_again(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other.db"
    await write(store_of(home), "Mine")
    await write(other, "Theirs", "More")
    assert "Added 2 conversations and update 0" in history(home, "merge", other).stdout
    assert "Added 0 conversations and update 0; 2 are the same." in history(home, "merge", other).stdout
    assert counts(store_of(home)) == (3, 6)
    same = history(home, "merge", store_of(home))
    assert "the same store" in same.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["backup", "restore", "merge"])
async def test_twenty_kills_of_one_command_lose_nothing(name: str, tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other.db"
    path, backup = store_of(home), tmp_path / "backup.db"
    await write(path, *(f"Prompt {number} {'word ' * 2000}" for number in range(100)))
    await write(other, *(f"Other {number} {'word ' * 2000}" for number in range(100)))
    backups.back_up(path, backup)
    mine, theirs = said_in(path), said_in(other)
    arguments = {"backup": (backup,), "restore": ("-y", backup), "merge": (other,)}[name]
    begin = time.perf_counter()
    assert history(tmp_path / "timed", "merge", other).returncode == 0
    whole_s = time.perf_counter() - begin
    for moment in range(KILLS):
        # From the start of the process until after its usual end, so that every step is hit.
        killed(home, name, *arguments, after_s=whole_s * (0.3 + 0.8 * moment / KILLS))
        assert mine <= said_in(path) <= mine | theirs
        assert said_in(backup) == mine
        assert said_in(other) == theirs
    assert history(home, name, *arguments).returncode == 0
    assert said_in(path) == (mine | theirs if name == "merge" else mine)
