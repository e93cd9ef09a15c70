"""`spnl-chat history export` as a backup job: it never replaces a good backup by an empty one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.chatgpt import rich
from tests.support.history_command import history, store_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user with two conversations."""
    home = tmp_path / "home"
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(rich()))
    assert history(home, "import", file).returncode == 0
    return home


def execute(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(store_of(home), isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def exported(text: str) -> list[str]:
    return sorted(each["title"] for each in json.loads(text)["conversations"])


def test_export_of_a_newer_store_is_whole_and_sets_nothing_aside(home: Path) -> None:
    execute(home, "PRAGMA user_version = 99")
    before = sorted(store_of(home).parent.glob("*aside*"))
    done = history(home, "export")
    assert done.returncode == 0
    assert exported(done.stdout) == ["Short", "Tides"]
    assert "this program knows" in done.stderr
    assert sorted(store_of(home).parent.glob("*aside*")) == before


def test_export_without_conversations_fails_and_keeps_the_backup(tmp_path: Path) -> None:
    backup = tmp_path / "backup.json"
    backup.write_text("good")
    done = history(tmp_path / "nobody", "export", "-o", backup)
    assert done.returncode == 1
    assert "nothing to export" in done.stderr
    assert backup.read_text() == "good"


def test_export_of_a_store_that_is_none_fails_and_leaves_it(home: Path, tmp_path: Path) -> None:
    store_of(home).write_bytes(b"no database" * 1000)
    backup = tmp_path / "backup.json"
    backup.write_text("good")
    done = history(home, "export", "-o", backup)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert backup.read_text() == "good"
    assert store_of(home).read_bytes() == b"no database" * 1000


def test_export_of_a_damaged_store_writes_readable_parts_and_fails(home: Path) -> None:
    execute(home, "UPDATE conversation SET sampling = '7' WHERE title = 'Short'")
    done = history(home, "export")
    assert done.returncode == 1
    assert exported(done.stdout) == ["Tides"]
    assert "lacks 1 conversation" in done.stderr


def test_export_to_a_disk_that_is_full_keeps_the_backup(home: Path, tmp_path: Path) -> None:
    done = history(home, "export", "-o", "/dev/full")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_log_on_a_full_disk_prints_nothing(tmp_path: Path) -> None:
    state = tmp_path / "home/.local/state/spnl-chat"
    state.mkdir(parents=True, exist_ok=True)
    (state / "spnl-chat.log").symlink_to("/dev/full")
    done = history(tmp_path / "home", "list")
    assert (done.returncode, done.stderr) == (0, "There are no conversations yet.\n")
