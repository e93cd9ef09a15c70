"""The recipes of docs/recipes.md, run by a real shell with the real model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from spnl_tui.settings import ENVIRONMENT

ROOT = Path(__file__).parent.parent.parent
RECIPES = re.findall(r"^## (.+?)\n.*?```sh\n(.*?)```", (ROOT / "docs/recipes.md").read_text(), re.S | re.M)
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 30}, "born": {"type": "integer"}},
    "required": ["name", "born"],
    "additionalProperties": False,
}


def test_every_recipe_works_as_printed(starter_gguf: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "prompts").mkdir(parents=True)
    (work / "notes.txt").write_text("The tide follows the moon. It comes and goes twice a day.\n")
    (work / "words.txt").write_text("water\n")
    (work / "person.json").write_text(json.dumps(SCHEMA))
    (work / "prompts/shorter.md").write_text(
        "---\ndescription: Shorten\n---\nSay this in fewer words:\n{{input}}"
    )
    (work / "chats.jsonl").write_text(json.dumps(MESSAGES) + "\n")
    program = tmp_path / "bin/spnl-chat"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m spnl_tui "$@"\n')
    program.chmod(0o755)
    model = next(name for name, setting in ENVIRONMENT.items() if setting == "model.default")
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", model: str(starter_gguf)}

    def run(script: str) -> subprocess.CompletedProcess[str]:
        words = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(words, cwd=work, env=env, capture_output=True, text=True, timeout=120)

    run("git init -q . && git add notes.txt && spnl-chat history import chats.jsonl")
    assert len(RECIPES) >= 6
    for title, script in RECIPES:
        result = run(script)
        assert result.returncode == 0, f"{title}: {result.stderr}"
        assert result.stdout.strip() or "dry run" in result.stderr, title
    assert set(json.loads((work / "ada.json").read_text())) == {"name", "born"}
