"""`spnl-chat pull` as scripts meet it: a child process, a real model, a hub on 127.0.0.1."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.gguf_maker import make_gguf
from tests.support.hub import LoopbackHub
from tests.support.pulls import part_size
from tests.support.waiting import wait_until

COMMAND = (sys.executable, "-m", "spnl_tui")
REPO = "acme/SmolLM2-135M-Instruct-GGUF"


def spnl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


def test_pulled_model_runs_without_a_network(hub: LoopbackHub, starter_gguf: Path) -> None:
    hub.add_repo(REPO, {starter_gguf.name: starter_gguf, "config.json": "{}"})
    pulled = spnl("pull", f"{REPO}:Q4_1")
    assert pulled.returncode == 0, pulled.stderr
    path = Path(pulled.stdout.strip())
    assert path.name == starter_gguf.name
    assert path.stat().st_size == starter_gguf.stat().st_size
    assert "verifying" in pulled.stderr or "pulling" in pulled.stderr

    hub.close()
    asked = spnl("run", "-m", f"{REPO}:Q4_1", "-t", "0", "Name the capital of France.")
    assert asked.returncode == 0, asked.stderr
    assert "Paris" in asked.stdout


def test_json_gives_one_line_for_each_event(hub: LoopbackHub) -> None:
    hub.add_repo(REPO, {"m.Q8_0.gguf": b"GGUF" * 100})
    pulled = spnl("pull", "--json", f"{REPO}:Q8_0")
    events = [json.loads(line) for line in pulled.stdout.splitlines()]
    assert events[-1]["type"] == "PullFinished"
    assert {event["type"] for event in events[:-1]} == {"PullProgressed"}
    assert events[-2]["done"] == events[-2]["total"] == 400
    assert pulled.stderr == ""


def test_unusable_model_is_pulled_only_by_name_with_a_warning(hub: LoopbackHub, tmp_path: Path) -> None:
    made = make_gguf(tmp_path / "m-Q5_K_S.gguf", matrix="Q5_K")
    hub.add_repo(REPO, {made.name: made, "m-IQ4_NL.gguf": b"GGUF" * 100})
    pulled = spnl("pull", REPO)
    assert pulled.stdout.strip().endswith(made.name), pulled.stderr
    pulled = spnl("pull", f"{REPO}:IQ4_NL")
    assert pulled.stdout.strip().endswith("m-IQ4_NL.gguf")
    assert "this machine cannot use it: mistral.rs cannot load IQ4_NL" in pulled.stderr


def test_a_refusal_is_one_message_on_stderr(hub: LoopbackHub) -> None:
    hub.add_repo(REPO, {"m.Q8_0.gguf": b"GGUF" * 100}, gated=True)
    pulled = spnl("pull", "--quiet", f"{REPO}:Q8_0")
    assert pulled.returncode == 1
    assert pulled.stdout == ""
    assert "licence" in pulled.stderr or "gated" in pulled.stderr


async def test_interrupting_pauses_and_says_how_to_go_on(hub: LoopbackHub, starter_gguf: Path) -> None:
    hub.add_repo(REPO, {starter_gguf.name: starter_gguf})
    hub.faults.add("slow", rate=20_000_000)
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "pull",
        f"{REPO}:Q4_1",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    cache = Path(os.environ["HF_HOME"]) / "hub"
    await wait_until(lambda: part_size(cache) > 1_000_000)
    process.send_signal(signal.SIGINT)
    output, errors = await process.communicate()
    assert process.returncode == 130
    assert output == b""
    assert f"Go on: spnl-chat pull {REPO}:Q4_1" in errors.decode()

    (part,) = list(cache.rglob("*.part"))
    kept = part.stat().st_size
    again = await asyncio.to_thread(spnl, "pull", "--quiet", f"{REPO}:Q4_1")
    assert again.returncode == 0, again.stderr
    assert hub.downloads(starter_gguf.name)[-1].start == kept
    assert again.stderr == ""
