"""The real model, run from the files of other programs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import other_programs as others
from tests.support.command import CAPITAL, spnl
from tests.support.hf_cache import add_snapshot

STORES = (
    ".ollama",
    ".lmstudio",
    ".cache/lm-studio",
    "elsewhere",
    ".cache/llama.cpp",
    ".local/share/Jan",
    ".local/share/nomic.ai",
    "text-generation-webui",
    "koboldcpp",
    "my models",
)


def test_models_of_other_programs_reply_and_stay_as_they_are(starter_gguf: Path) -> None:
    home = Path.home()
    expected = others.add_all(home, starter_gguf)
    own = home / "my models"
    others.link(starter_gguf, own / "deeper/no-suffix")
    expected[str(own / "deeper/no-suffix")] = "folder"
    cached = add_snapshot(home / ".cache/huggingface/hub", "ggml-org/Smol-GGUF", {})
    others.link(starter_gguf, cached / "smol-Q4_1.gguf")  # as llama.cpp downloads
    expected["ggml-org/Smol-GGUF:Q4_1"] = "cache"
    others.write(home / ".config/spnl-chat/config.toml", f"[hub]\nmodel_dirs = [{json.dumps(str(own))}]\n")
    stored = [home / each for each in STORES]
    before = [others.hashes(folder) for folder in stored]
    assert all(before)
    listed = json.loads(spnl("list", "--json").stdout)["models"]
    assert {each["reference"]: each["origin"] for each in listed} == expected
    assert len(listed) == len(expected)
    for reference in expected:
        system = () if reference.startswith("ollama:") else ("-s", "Be brief.")
        result = spnl("run", "-m", reference, "-t", "0", *system, "-l", "30", CAPITAL)
        assert result.returncode == 0, f"{reference}: {result.stderr}"
        assert result.stdout.strip(), reference
        if system:
            assert "Paris" in result.stdout, reference
    for reference, origin in expected.items():
        if origin not in ("cache", "folder"):
            assert spnl("rm", "-y", reference).returncode == 1, reference
    assert [others.hashes(folder) for folder in stored] == before
