"""`spnl-chat engine`, `ps`, `unload` and `serve` with a real model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx2

from tests.support.command import COMMAND, spnl
from tests.support.waiting import is_running


def test_runs_share_a_loaded_model_until_the_resident_stops(starter_gguf: Path) -> None:
    assert "No resident engine runs" in spnl("engine", "status").stdout
    assert json.loads(spnl("ps", "--json").stdout) == []
    assert spnl("engine", "start").returncode == 0
    try:
        loaded: dict[str, Any] = {}
        for question in ("Name a colour.", "Name a river."):
            done = spnl("run", "-m", starter_gguf, "-t", "0", "-l", "3", question)
            assert done.returncode == 0, done.stderr
            [now] = json.loads(spnl("ps", "--json").stdout)
            assert now["model"] == str(starter_gguf)
            assert now["pid"] == loaded.get("pid", now["pid"])
            loaded = now
        status = json.loads(spnl("engine", "status", "--json").stdout)
        assert spnl("unload", starter_gguf.name.lower()).returncode == 0
        assert not is_running(loaded["pid"])
        assert spnl("unload", "nothing").returncode == 1
        assert "resident engine" in spnl("engine", "logs").stdout
    finally:
        assert spnl("engine", "stop").returncode == 0
    assert not is_running(status["pid"])


def test_serve_answers_until_it_is_interrupted(starter_gguf: Path) -> None:
    server = subprocess.Popen(
        (*COMMAND, "serve", "-m", str(starter_gguf), "--port", "0", "--api-key-env", "THE_KEY"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "THE_KEY": "a long key"},
    )
    with server:
        assert server.stdout is not None
        url = server.stdout.readline().rpartition(" ")[2].strip()
        headers = {"Authorization": "Bearer a long key"}
        with httpx2.Client(timeout=120) as client:
            body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3, "temperature": 0}
            assert client.post(f"{url}/chat/completions", json=body).status_code == 401
            reply = client.post(f"{url}/chat/completions", json=body, headers=headers)
        assert reply.json()["usage"]["completion_tokens"] == 3
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 130
    assert "a long key" not in (Path.home() / ".local/state/spnl-chat/spnl-chat.log").read_text()
