"""What `spnl-chat pull` writes where, in each of its forms, and its exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.hub import LoopbackHub
from tests.support.hub_content import BLOCK, Pattern
from tests.support.terminal import Terminal

SPNL = (sys.executable, "-m", "spnl_tui")
REPO = "acme/Tiny-GGUF"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SPNL, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


@pytest.fixture(autouse=True)
def _repositories(hub: LoopbackHub) -> None:
    hub.add_repo(REPO, {"tiny-Q4_K_M.gguf": Pattern(BLOCK, seed=4), "tiny-Q8_0.gguf": Pattern(BLOCK, seed=8)})
    hub.add_repo(
        "acme/Whole",
        {"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": Pattern(BLOCK, seed=1)},
    )


def test_pull_prints_the_path_on_stdout_and_progress_on_stderr(hub: LoopbackHub) -> None:
    ended = run("pull", "acme/tiny-gguf:q8_0", "acme/Whole")
    assert ended.returncode == 0, ended.stderr
    quantized, whole = map(Path, ended.stdout.splitlines())
    assert quantized.name == "tiny-Q8_0.gguf"
    assert quantized.stat().st_size == BLOCK
    assert (whole / "model.safetensors").is_file()
    lines = ended.stderr.splitlines()
    assert lines[0].startswith("acme/Tiny-GGUF:Q8_0: connecting")
    assert any(line.startswith("acme/Whole: ") for line in lines)
    assert "\x1b" not in ended.stderr
    assert "\r" not in ended.stderr

    sent = hub.sent()
    again = run("pull", "--quiet", "acme/Tiny-GGUF:Q8_0")
    assert (again.stdout, again.stderr) == (f"{quantized}\n", "")
    assert hub.sent() == sent


def test_json_is_one_line_for_each_event() -> None:
    ended = run("pull", "--json", REPO, "acme/Missing")
    assert ended.returncode == 1
    assert ended.stderr == ""
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {event["type"] for event in events[:-2]} == {"PullProgressed"}
    assert {"stage", "done", "total", "bytes_per_s", "eta_s", "model"} <= events[0].keys()
    finished, failed = events[-2:]
    assert (finished["type"], finished["model"]) == ("PullFinished", f"{REPO}:Q4_K_M")
    assert finished["files"] == [finished["path"]]
    assert Path(finished["path"]).stat().st_size == finished["fetched"] == BLOCK
    assert (failed["type"], failed["model"]) == ("PullFailed", "acme/Missing")
    assert failed["title"]
    assert failed["hint"]


def test_failed_pull_is_reported_and_others_continue() -> None:
    ended = run("pull", "acme/Missing", f"{REPO}:Q4_K_M")
    assert ended.returncode == 1
    assert "Error: " in ended.stderr
    assert "acme/Missing" in ended.stderr
    assert ended.stdout.endswith("tiny-Q4_K_M.gguf\n")
    assert run("pull", "./here.gguf").returncode == 1
    assert run("pull").returncode == 2


@pytest.mark.parametrize("form", ["plain", "quiet", "json"])
def test_ctrl_c_pauses_says_how_to_go_on_and_going_on_does_not_start_over(
    hub: LoopbackHub, form: str
) -> None:
    hub.faults.add("slow", path="Q4_K_M", rate=200_000, times=None)
    hub.chunk = 1 << 14
    flags = [] if form == "plain" else [f"--{form}"]
    process = subprocess.Popen(
        [*SPNL, "pull", *flags, f"{REPO}:Q4_K_M", "acme/Whole"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while hub.sent("Q4_K_M") < 100_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    command = f"spnl-chat pull {REPO}:Q4_K_M acme/Whole"
    if form == "json":
        assert json.loads(out.splitlines()[-1]) == {
            "type": "PullPaused",
            "model": f"{REPO}:Q4_K_M",
            "go_on": command,
        }
        assert err == ""
    else:
        assert out == ""
        assert err.splitlines()[-1].endswith(f"Go on: {command}")
    hub.faults.clear()
    ended = run(*command.split()[1:])
    assert ended.returncode == 0, ended.stderr
    assert hub.downloads("Q4_K_M")[-1].start > 0


def test_on_a_terminal_one_line_changes_and_goes(hub: LoopbackHub) -> None:
    hub.faults.add("slow", path="Q4_K_M", rate=400_000)
    hub.chunk = 1 << 14
    with Terminal([*SPNL, "pull", f"{REPO}:Q4_K_M"], columns=50) as terminal:
        screen = terminal.wait_for("pulling", 60)
        assert len([line for line in screen.splitlines() if line.strip()]) == 1
        assert terminal.wait_end(60) == 0
        while terminal.read():
            pass
        assert "pulling" not in terminal.text
        assert "tiny-Q4_K_M.gguf" in terminal.text.replace("\n", "").replace(" ", "")
