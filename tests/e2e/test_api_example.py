"""The example of docs/api.md, run as a reader would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


def test_example_of_the_api_streams_a_reply(starter_gguf: Path, tmp_path: Path) -> None:
    example = re.search(r"<!-- example -->\n```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert example is not None
    script = tmp_path / "example.py"
    script.write_text(example[1])
    result = subprocess.run(
        [sys.executable, script, starter_gguf], capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Paris" in result.stdout
    assert re.search(r"\[\d+ tokens, (stop|length)\]", result.stdout)
