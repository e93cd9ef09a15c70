"""`spnl-chat history` as a program of a user without conversations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def store_of(home: Path) -> Path:
    """Where this user's conversations are stored."""
    return home / ".local/share/spnl-chat/conversations.db"


def command(home: Path, *arguments: str | Path) -> tuple[list[str], dict[str, str]]:
    """The words and the environment of `spnl-chat history` with these arguments."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    return [sys.executable, "-m", "spnl_tui", "history", *map(str, arguments)], environ


def history(home: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    words, environ = command(home, *arguments)
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False, timeout=120)
