"""doctor, history, queries and map, as scripts meet them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import to_json_text
from tests.support.gguf_maker import make_gguf

COMMAND = (sys.executable, "-m", "spnl_tui")


def spnl(*arguments: str | Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


# A hub that refuses the connection at once.
NO_HUB = {"HF_ENDPOINT": "http://127.0.0.1:9"}


def test_doctor_finds_without_a_network_and_shows_no_token() -> None:
    result = spnl("doctor", "--json", HF_TOKEN="hf_secret", **NO_HUB)
    assert result.returncode == 0, result.stderr
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert {"versions", "device", "threads", "memory", "cache", "Hugging Face", "token", "terminal"} <= set(
        findings
    )
    assert findings["Hugging Face"]["level"] == "note"
    assert findings["Hugging Face"]["remedy"]
    assert findings["token"]["value"] == "present"
    assert "hf_secret" not in result.stdout + spnl("doctor", HF_TOKEN="hf_secret", **NO_HUB).stdout


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    conversation = Conversation(title="Rain")
    conversation.add_turn("user", "Why does it rain?")
    reply = conversation.add_turn("assistant", "Water \x1b[31m condenses[/]")
    conversation.finish(reply.id, "stop")
    file = tmp_path / "rain.json"
    file.write_text(to_json_text([conversation]))
    return file


def test_history_imports_lists_finds_shows_exports_and_deletes(exported: Path, tmp_path: Path) -> None:
    assert spnl("history", "import", exported).returncode == 0
    listed = json.loads(spnl("history", "list", "--json").stdout)["conversations"]
    (identifier,) = [item["id"] for item in listed]
    assert "Rain" in spnl("history", "list").stdout
    found = spnl("history", "search", "condenses")
    assert found.returncode == 0
    assert identifier[:8] in found.stdout
    shown = spnl("history", "show", identifier[:12]).stdout
    assert "Why does it rain?" in shown
    assert "\x1b" not in shown
    # Lossless: what comes out is what went in.
    assert spnl("history", "export", identifier).stdout == exported.read_text()
    markdown = tmp_path / "rain.md"
    assert spnl("history", "export", "--format", "markdown", "-o", markdown).returncode == 0
    assert "Why does it rain?" in markdown.read_text()
    assert spnl("history", "rm", "-y", identifier).returncode == 0
    assert json.loads(spnl("history", "list", "--json").stdout)["conversations"] == []
    assert spnl("history", "show", identifier).returncode == 1


def test_history_says_that_nothing_was_found(exported: Path) -> None:
    none = spnl("history", "list")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "There are no conversations yet.\n")
    spnl("history", "import", exported)
    such = spnl("history", "list", "--tag", "weather")
    assert (such.returncode, such.stdout, such.stderr) == (0, "", "There are no such conversations.\n")
    words = spnl("history", "search", "snow", "rain")
    assert (words.returncode, words.stdout, words.stderr) == (1, "", "No turn holds 'snow rain'.\n")
    for command, code in ((("list", "--tag", "weather"), 0), (("search", "snow"), 1)):
        result = spnl("history", *command, "--json")
        assert (result.returncode, result.stderr) == (code, "")
        assert not any(json.loads(result.stdout).values())


_FULL = "No space left on device."
has_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="only Linux has a device that is always full"
)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        pytest.param("history list >/dev/full", _FULL, marks=has_full_device),
        pytest.param("history export --format markdown >/dev/full", _FULL, marks=has_full_device),
        pytest.param("--help >/dev/full", _FULL, marks=has_full_device),
        pytest.param("run -m MODEL -l 4 Hello >/dev/full", _FULL, marks=has_full_device),
        ("history list >&-", "Bad file descriptor."),
        ("run -m MODEL -l 4 Hello >&-", "Bad file descriptor."),
        ("run -m MODEL -l 4 --json Hello >&- <&-", "Bad file descriptor."),
    ],
)
def test_output_that_cannot_be_written_is_an_error(
    exported: Path, starter_gguf: Path, command: str, why: str
) -> None:
    assert spnl("history", "import", exported).returncode == 0
    line = f"'{sys.executable}' -m spnl_tui {command.replace('MODEL', str(starter_gguf))}"
    result = subprocess.run(["bash", "-c", line], stderr=subprocess.PIPE, text=True, timeout=120)
    assert result.returncode == 1
    title, reason, _hint = result.stderr.splitlines()
    assert (title, reason.strip()) == ("Error: Standard output cannot be written", why)


def test_a_reader_that_does_not_wait_for_the_end_ends_it_quietly(exported: Path) -> None:
    spnl("history", "import", exported)
    line = f"'{sys.executable}' -m spnl_tui history list | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.stderr) == ("141\n", "")


QUERIES = {
    "hello": '(g "MODEL" (user "Hello world") 0.6 16)',
    "chat": '(g "MODEL" (cross (system "You are helpful") (user "Why is the sky blue?")) 0.5 16)',
    "emails": """
        (g "MODEL"
           (cross (system "Score each email 0-100; list the top 3")
                  (plus (g "MODEL" (user "Write a fun email") 0.8 12)
                        (g "MODEL" (user "Write a fun email") 0.8 12)
                        (g "MODEL" (user "Write a fun email") 0.8 12))
                  (user "I am applying to NASA"))
           0.0 16)""",
}


@pytest.mark.parametrize("name", QUERIES)
def test_the_queries_of_spnl_run_on_the_real_model(name: str, starter_gguf: Path, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.lisp"
    file.write_text(QUERIES[name].replace("MODEL", str(starter_gguf)))
    result = spnl("run", "-f", file, "--json", "-v", "--time")
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["complete"]
    assert len(answer["replies"]) == 1
    assert answer["replies"][0]["reply"]
    assert "g " in result.stderr  # the tree


def test_a_mistake_in_a_query_names_its_place() -> None:
    result = spnl("run", "-c", '(g "starter"\n  (usr "hi"))')
    assert result.returncode == 1
    assert "line 2" in result.stderr
    assert "user" in result.stderr


def test_four_candidates_differ(starter_gguf: Path) -> None:
    result = spnl(
        *("run", "-m", starter_gguf, "-n", "4", "-t", "1", "-l", "24", "--json"),
        "Write a tagline for a bakery.",
    )
    replies = [reply["reply"] for reply in json.loads(result.stdout)["replies"]]
    assert len(set(replies)) == 4


@pytest.mark.parametrize("builtin", ["email", "email2", "bulkmap", "gsm8k"])
def test_every_builtin_runs(builtin: str, starter_gguf: Path) -> None:
    result = spnl("run", "-b", builtin, "-n", "2", "-m", starter_gguf, "-l", "8", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["replies"]


def test_killed_map_resumes(starter_gguf: Path, tmp_path: Path) -> None:
    lines = "".join(f"{number}\n" for number in range(50))
    arguments = ["map", "-m", str(starter_gguf), "-t", "0", "-l", "4", "--jsonl", "Say {}"]
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(lines)
        process.stdin.close()
        first: list[dict[str, Any]] = [json.loads(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
    result = spnl(*arguments, stdin=lines)
    assert result.returncode == 0, result.stderr
    second = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted(item["index"] for item in second) == list(range(50))
    resumed = [item for item in second if item["resumed"]]
    assert len(resumed) >= 20  # none of what was printed is computed twice
    assert {item["index"]: item["reply"] for item in first}.items() <= {
        item["index"]: item["reply"] for item in second
    }.items()


def test_bench_against_llama_cpp_says_how_to_get_it(starter_gguf: Path) -> None:
    # It is not a dependency, and nothing is measured before that is told.
    result = spnl("bench", starter_gguf, "--against", "llama.cpp", PYTHONPATH=os.getcwd())
    assert result.returncode == 1
    assert "pip install llama-cpp-python" in result.stderr


def test_bench_has_a_base_model_continue_a_text(tmp_path: Path) -> None:
    result = spnl("bench", make_gguf(tmp_path / "base.gguf", template=None), "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["results"][0]["decode_tokens_per_s"] > 0
