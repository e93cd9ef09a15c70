"""The real model, run from the files of other programs."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import other_programs as others
from tests.support.command import CAPITAL, spnl


def test_models_of_other_programs_reply_and_stay_as_they_are(starter_gguf: Path) -> None:
    home = Path.home()
    others.add_all(home, starter_gguf)
    stored = [home / ".ollama", home / ".lmstudio"]
    before = [others.hashes(folder) for folder in stored]
    listed = json.loads(spnl("list", "--json").stdout)["models"]
    assert len(listed) == 9
    result = spnl("run", "-m", "ollama:smol:135m", "-t", "0", "-s", "Be brief.", "-l", "30", CAPITAL)
    assert "Paris" in result.stdout, result.stderr
    assert spnl("rm", "-y", "ollama:smol:135m").returncode == 1
    assert [others.hashes(folder) for folder in stored] == before
