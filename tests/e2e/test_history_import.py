"""`spnl-chat history import` as a program: its report, an import again, a kill and an interrupt half-way."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.chatgpt import exported, message, rich
from tests.support.history_command import command, history, store_of

CONVERSATIONS = 15_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user without conversations."""
    return tmp_path / "home"


def count(home: Path) -> int:
    """How many conversations are stored."""
    file = store_of(home)
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT count(*) FROM conversation").fetchone()[0])


def large(folder: Path) -> Path:
    file = folder / "conversations.json"
    said = message("user", "word " * 40), message("assistant", "reply " * 200)
    file.write_text(
        json.dumps([exported(*said, conversation_id=f"c{n}", title=f"t{n}") for n in range(CONVERSATIONS)])
    )
    return file


def test_importing_again_updates_and_reports(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "conversations.json"
    account = [*rich(), exported(title="Nothing")]
    file.write_text(json.dumps(account))
    first = history(home, "import", file)
    assert first.returncode == 0
    assert [line.split("  ")[1] for line in first.stdout.splitlines()] == ["Tides", "Short"]
    assert first.stderr.splitlines() == [
        "Imported 2 conversations, updated 0; 0 had not changed.",
        "Skipped 1 conversation:",
        "  Nothing: no message contains text",
        "Left out, since the export has their names only: 1 audio recordings, 1 images.",
    ]
    again = history(home, "import", file)
    assert (again.returncode, again.stdout) == (0, "")
    assert "Imported 0 conversations, updated 0; 2 had not changed." in again.stderr
    more = exported(
        message("user", "Hello"),
        message("assistant", "Hi."),
        message("user", "And more"),
        conversation_id="c-2",
    )
    file.write_text(json.dumps([account[0], {**more, "title": "Renamed"}]))
    result = json.loads(history(home, "import", "--json", file).stdout)
    assert [each["title"] for each in result["updated"]] == ["Renamed"]
    assert [each["title"] for each in result["unchanged"]] == ["Tides"]
    assert count(home) == 2
    shown = history(home, "show", result["updated"][0]["id"]).stdout
    assert "And more" in shown


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_import_ended_half_way_leaves_nothing(home: Path, tmp_path: Path, number: signal.Signals) -> None:
    file = large(tmp_path)
    words, environ = command(home, "import", file)
    with subprocess.Popen(
        words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as it:
        assert it.stderr is not None
        said = ""
        while "Saved" not in said:
            said = it.stderr.readline()
            assert said, "the import ended before it reported progress"
        it.send_signal(number)
        assert it.wait(60) == (-number if number == signal.SIGKILL else 128 + number)
    assert count(home) == 0
    retry = history(home, "import", file)
    assert retry.returncode == 0
    assert count(home) == CONVERSATIONS
    assert f"Imported {CONVERSATIONS:,} conversations" in retry.stderr


def test_conversation_without_dates_gets_the_time_of_its_import(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    file.write_text(json.dumps({"messages": turns}))
    before = time.time()
    first = history(home, "import", file)
    assert "1 conversation had no date and got the time of this import." in first.stderr
    (item,) = json.loads(history(home, "list", "--json").stdout)["conversations"]
    assert before <= item["created_at"] <= item["updated_at"] <= time.time()
    file.write_text(json.dumps({"messages": turns}, indent=1))
    again = history(home, "import", file)
    assert "Imported 0 conversations, updated 0; 1 had not changed." in again.stderr
    assert "no date" not in again.stderr


def test_listing_turns_no_direction_of_writing_and_the_export_keeps_it(home: Path, tmp_path: Path) -> None:
    file, name = tmp_path / "chat.json", "\u202efdp.exe"
    file.write_text(json.dumps({"title": name, "messages": [{"role": "user", "content": f"Open {name}"}]}))
    history(home, "import", file)
    shown = [history(home, *words).stdout for words in (["list"], ["search", "open"])]
    assert all("fdp.exe" in text and "\u202e" not in text for text in shown)
    assert name in history(home, "export", "--format", "markdown").stdout
