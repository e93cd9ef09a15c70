"""Modelfiles and models of Ollama's become personas."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import other_programs as others
from tests.support.command import spnl
from tests.support.gguf_maker import make_gguf


def test_modelfile_becomes_a_persona_once(tmp_path: Path) -> None:
    others.add_ollama(Path.home() / ".ollama/models", "library/smol/latest", make_gguf(tmp_path / "m.gguf"))
    text = "FROM smol\nSYSTEM You are a pirate.\nPARAMETER temperature 0.1\nPARAMETER num_ctx 1\n"
    file = others.write(tmp_path / "pirate/Modelfile", text)
    result = spnl("import", file, "--json")
    assert json.loads(result.stdout) == {
        "persona": "pirate",
        "model": "ollama:smol:latest",
        "left_out": ["PARAMETER num_ctx: set [context] length instead"],
    }
    written = (Path.home() / ".config/spnl-chat/config.toml").read_text()
    assert 'system_prompt = "You are a pirate."' in written
    assert "temperature = 0.1" in written
    again = spnl("import", file)
    assert again.returncode == 1
    assert "--name NAME" in again.stderr
