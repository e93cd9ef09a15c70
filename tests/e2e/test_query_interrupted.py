"""Ctrl+C in the middle of a query: what is finished is printed, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


def test_interrupted_query_prints_finished_results(starter_gguf: Path) -> None:
    query = f"""(seq (g "{starter_gguf}" (user "Name the capital of France.") 0 12)
                     (print "the first is done")
                     (g "{starter_gguf}" (user "Write a very long story.") 0 2000))"""
    process = subprocess.Popen(
        [sys.executable, "-m", "spnl_tui", "run", "-c", query],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert "the first is done" in process.stderr.readline()
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does: to the whole group
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.strip() == "The capital of France is Paris."
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
