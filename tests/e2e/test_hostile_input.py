"""Commands whose files are not files, whose settings are absurd, and whose output has another encoding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text
from tests.support.terminal import Terminal

COMMAND = (sys.executable, "-m", "spnl_tui")


def spnl(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
    )


@pytest.fixture(params=["fifo", "device", "directory", "missing"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "here"
    if request.param == "fifo":
        os.mkfifo(path)
    elif request.param == "device":
        path.symlink_to("/dev/zero")
    elif request.param == "directory":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "-f"),
        ("run", "hi", "--schema"),
        ("run", "hi", "--lark"),
        ("run", "hi", "--template"),
        ("run", "hi", "-m"),
        ("history", "import"),
        ("import",),
        ("list", "--config"),
    ],
    ids=lambda arguments: arguments[-1],
)
def test_fifos_and_devices_are_rejected_by_name(arguments: tuple[str, ...], no_file: Path) -> None:
    result = spnl("--config", no_file, "list") if "--config" in arguments else spnl(*arguments, no_file)
    assert result.returncode == 1
    assert str(no_file) in result.stderr.decode()
    assert b"Traceback" not in result.stderr
    assert result.stdout == b""


@pytest.mark.parametrize("arguments", [("engine", "start"), ("doctor",)], ids=lambda arguments: arguments[-1])
def test_home_that_is_a_file_is_named_in_the_error(arguments: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.touch()
    places = ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
    result = spnl(*arguments, **dict.fromkeys((*places, "HOME", "HF_HOME"), str(home)))
    assert result.returncode == 1
    assert str(home) in (result.stdout + result.stderr).decode()
    assert b"Traceback" not in result.stderr


def test_absurd_settings_and_limits_are_clear_errors(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("a = " + "[" * 100_000)
    result = spnl("--config", config, "list")
    assert result.returncode == 1
    assert b"nested too deeply" in result.stderr
    config.write_text("[engine]\nmemory_budget_gb = 1e308")
    assert b"at most" in spnl("--config", config, "list").stderr
    assert b"max_tokens" in spnl("run", "hi", "-l", "9" * 30).stderr
    assert spnl("history", "list", "--limit", "9" * 30).returncode == 2


def test_byte_order_mark_in_configuration_and_query_is_accepted(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[engine]\nthreads = 1\n", "utf-8-sig")
    assert spnl("--config", config, "list").returncode == 0
    query = tmp_path / "query.lisp"
    query.write_text('(g "org/none:Q8_0" "hello")', "utf-8-sig")
    assert b"has not been pulled" in spnl("run", "-f", query).stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_output_in_any_encoding_has_replacements(encoding: str, tmp_path: Path) -> None:
    doctor = spnl("doctor", PYTHONIOENCODING=encoding)
    assert doctor.stdout.decode(encoding).startswith("+ versions")
    assert doctor.stderr == b""
    conversation = Conversation(title="Café 😀")
    conversation.add_turn("user", "Un café 😀?")
    (file := tmp_path / "export.json").write_text(to_json_text([conversation]))
    assert spnl("history", "import", file, PYTHONIOENCODING=encoding).returncode == 0
    shown = spnl("history", "search", "caf", PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    # An emoji takes two cells, and so does what stands for it.
    assert ("Un café ???" if encoding == "latin-1" else "Un caf? ???") in shown.stdout.decode(encoding)
    export = spnl("history", "export", PYTHONIOENCODING=encoding).stdout.decode(encoding)
    assert json.loads(export) == json.loads(to_json_text([conversation]))
    error = spnl("run", "-m", "é/😀/→", "hi", PYTHONIOENCODING=encoding)
    assert error.returncode == 1
    assert b"\\u" not in error.stderr


def test_interface_starts_where_the_terminal_has_ascii_only() -> None:
    with Terminal(COMMAND, env={"PYTHONIOENCODING": "ascii"}) as terminal:
        screen = terminal.wait_for("Ask something")
        assert "+---" in screen
        assert "\\u" not in screen


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("run", "-m", "org/a:Q8_0", "-c", '(g "org/b:Q4_K_M" "hi")'), 1, "names its own models"),
        (("run", "-c", '(user "hello")'), 1, "asks no model"),
        (("run", "-c", '(g "org/a:Q8_0" "hi")', "-s", "Be brief."), 2, "apply only to a PROMPT"),
        (("run", "hi", "--completion", "-s", "Be brief."), 2, "do not apply"),
        (("run", "hi", "--completion", "--template", "chatml"), 2, "do not apply"),
        (("run", "hi", "--dry-run"), 2, "apply only to a query"),
        (("run", "-c", '(g "org/a:Q8_0" (user (file "gone.txt")))', "-m", "org/a:Q8_0"), 1, "does not exist"),
    ],
    ids=["model", "asks-nothing", "system", "completion", "template", "dry-run", "same-model"],
)
def test_option_that_does_not_apply_is_rejected(arguments: tuple[str, ...], code: int, says: str) -> None:
    result = spnl(*arguments)
    assert result.returncode == code
    assert says in result.stderr.decode()


def test_unknown_key_is_reported_by_doctor(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[keys]\n"chat.sned" = "ctrl+j"\n')
    result = spnl("--config", config, "doctor")
    assert "chat.sned" in result.stdout.decode()
    assert result.returncode == 1


def test_replay_of_imported_replies_exits_with_1(tmp_path: Path) -> None:
    conversation = Conversation(title="Imported")
    conversation.add_turn("user", "Why?")
    conversation.finish(conversation.add_turn("assistant", "Because.").id, "stop")
    (file := tmp_path / "export.json").write_text(to_json_text([conversation]))
    spnl("history", "import", file)
    [found] = json.loads(spnl("history", "list", "--json").stdout)["conversations"]
    result = spnl("history", "replay", found["id"])
    assert result.returncode == 1
    assert b"Nothing to replay" in result.stderr
