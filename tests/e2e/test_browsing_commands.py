"""search and show as scripts meet them: a child process, and a hub on 127.0.0.1 in every kind of trouble."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gguf_maker import make_gguf
from tests.support.hub import LoopbackHub

REPO = "acme/Made-GGUF"


def spnl(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spnl_tui", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.fixture(autouse=True)
def _repositories(hub: LoopbackHub, tmp_path: Path) -> None:
    file = make_gguf(tmp_path / "made-Q8_0.gguf")
    files: dict[str, bytes | Path] = {file.name: file, "made-IQ4_XS.gguf": b"i" * 400_000}
    hub.add_repo(REPO, files, downloads=12, gguf={"total": 900_000, "architecture": "llama"})
    hub.add_repo("acme/Private-GGUF", {file.name: file}, private=True, granted=["hf_alice"])
    hub.add_repo("acme/Gated-GGUF", {file.name: file}, gated=True, granted=["hf_alice"])
    hub.add_repo("acme/Bert-GGUF", {file.name: file}, gguf={"total": 900_000, "architecture": "bert"})


@pytest.fixture
def impatient(tmp_path: Path) -> str:
    """A configuration that waits for no more than a second."""
    path = tmp_path / "impatient.toml"
    path.write_text("[hub]\ntimeout_s = 1\n")
    return str(path)


def test_show_judges_before_anything_is_pulled(hub: LoopbackHub) -> None:
    result = spnl("show", REPO)
    assert result.returncode == 0, result.stderr
    assert "IQ4_XS" in result.stdout
    assert "unsupported" in result.stdout
    assert "  Runs: llama, with chat template." in result.stdout
    assert "  Load: CPU, " in result.stdout
    assert "\x1b" not in result.stdout
    # On the wire: the repository, and the beginning of one file.
    assert {request.path for request in hub.downloads() if request.where == "cdn"} == {"made-Q8_0.gguf"}
    [plan] = [json.loads(spnl("show", REPO, "--json").stdout)["plan"]]
    assert plan.startswith("CPU, ")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"kind": "status", "status": 429, "retry_after": "30"}, "try again in 30 s"),
        ({"kind": "status", "status": 500}, "status 500"),
        ({"kind": "hang_before_headers"}, "No answer within 1 s"),
    ],
    ids=["429", "500", "hang"],
)
@pytest.mark.parametrize("command", [("search", "made"), ("show", REPO)], ids=["search", "show"])
def test_a_hub_in_trouble(
    hub: LoopbackHub, impatient: str, fault: dict[str, object], told: str, command: tuple[str, str]
) -> None:
    hub.faults.add(**fault, path="/api/models", times=None)  # type: ignore[arg-type]
    result = spnl("--config", impatient, *command)
    assert (result.returncode, result.stdout) == (1, "")
    assert told in result.stderr
    assert len(result.stderr.splitlines()) <= 4


def test_too_long_a_search_states_the_limit(hub: LoopbackHub) -> None:
    result = spnl("search", "s" * 65_537)
    assert (result.returncode, result.stdout) == (1, "")
    assert "It has 65,537 characters; at most 500 are allowed." in result.stderr
    assert not hub.requests


@pytest.mark.parametrize("command", [("search", "made"), ("show", REPO)], ids=["search", "show"])
def test_offline(hub: LoopbackHub, command: tuple[str, str]) -> None:
    hub.close()
    result = spnl(*command)
    assert result.returncode == 1
    assert "Hugging Face cannot be reached" in result.stderr
    forbidden = spnl(*command, HF_HUB_OFFLINE="1")
    assert "Offline mode is on" in forbidden.stderr
    assert spnl("list").returncode == 0


@pytest.mark.parametrize("endpoint", ["garbage", "hf-mirror.com", "ftp://x", "http://", "http://[x"])
def test_invalid_endpoint_raises_a_clear_error(endpoint: str) -> None:
    for command in (("search", "made"), ("show", REPO), ("pull", f"{REPO}:Q8_0")):
        result = spnl(*command, HF_ENDPOINT=endpoint)
        assert (result.returncode, result.stdout) == (1, "")
        told = result.stderr.splitlines()
        assert "HF_ENDPOINT is wrong" in told[0]
        assert repr(endpoint) in told[1]
        assert "https://huggingface.co" in told[2]
    if endpoint != "http://[x":  # huggingface_hub cannot be imported then
        assert spnl("list", HF_ENDPOINT=endpoint).returncode == 0


def test_empty_variables_of_hugging_face_count_as_not_set() -> None:
    code = (
        "import sys; from spnl_tui.__main__ import main; sys.argv = ['spnl-chat', 'list']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "from huggingface_hub import constants as hub; print(hub.ENDPOINT, hub.HF_HOME)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HF_ENDPOINT": "", "HF_HOME": " "},
    )
    endpoint, home = result.stdout.split()
    assert endpoint == "https://huggingface.co"
    assert home == str(Path(os.environ["XDG_CACHE_HOME"], "huggingface"))


def test_hidden_repository_raises_a_clear_error(hub: LoopbackHub) -> None:
    missing = spnl("show", "acme/Missing-GGUF")
    assert missing.returncode == 1
    assert "acme/Missing-GGUF was not found" in missing.stderr
    private = spnl("show", "acme/Private-GGUF")
    assert "or it is private" in private.stderr
    gated = spnl("show", "acme/Gated-GGUF")
    assert gated.returncode == 1
    assert "not known" in gated.stdout
    assert "https://huggingface.co/acme/Gated-GGUF" in gated.stderr
    for name in ("acme/Private-GGUF", "acme/Gated-GGUF"):
        granted = spnl("show", name, HF_TOKEN="hf_alice")
        assert granted.returncode == 0, granted.stderr
        assert "hf_alice" not in granted.stdout + granted.stderr


def test_an_unknown_architecture_is_called_so_by_its_card(hub: LoopbackHub) -> None:
    hub.faults.add("status", status=500, path="made-Q8_0.gguf", times=None)
    result = spnl("show", "acme/Bert-GGUF")
    assert "it is an embedding model (bert)" in result.stdout
