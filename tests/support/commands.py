"""Run several commands of the program, each forked from one process that imports the program once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_RUN = """
import json, os, sys, tempfile

import jinja2, huggingface_hub.file_download
import spnl_tui.cli.main, spnl_tui.cli.models, spnl_tui.cli.run, spnl_tui.engine.mistralrs.calibration
import spnl_tui.headless.models, spnl_tui.headless.pull, spnl_tui.headless.run_prompt
import spnl_tui.hub.catalog, spnl_tui.hub.library.library, spnl_tui.hub.wanted, spnl_tui.services
from spnl_tui.__main__ import main

for arguments in json.loads(sys.argv[1]):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if (child := os.fork()) == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["spnl-chat", *arguments]
            main()
            sys.exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for file in (out, err):
            file.seek(0)
        print(json.dumps([out.read().decode(), err.read().decode(), code]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What one command printed, and its exit code."""

    stdout: str
    stderr: str
    returncode: int


def run_commands(*commands: Sequence[str], **environment: str) -> list[Result]:
    """Run the commands one after the other, whether or not one fails."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(commands)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )
    results = [Result(*json.loads(line)) for line in done.stdout.splitlines()]
    assert len(results) == len(commands), done.stderr
    return results
