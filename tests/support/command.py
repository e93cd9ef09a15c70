"""Run the command `spnl-chat` as scripts do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "spnl_tui")
CAPITAL = "Name the capital of France."


def spnl(
    *arguments: str | Path, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command. Without `stdin` its standard input is empty."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )
