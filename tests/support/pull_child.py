"""A program that pulls a file, to be killed by tests.

python -m tests.support.pull_child ENDPOINT CACHE REPO FILE [ahead]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from spnl_tui.hub.pulls.pull import PullRequest
from tests.support.pulls import AHEAD, QUICK, run_pull

if __name__ == "__main__":
    endpoint, cache, repo, file, *ahead = sys.argv[1:]
    options = AHEAD if ahead else QUICK
    finished = asyncio.run(run_pull(endpoint, Path(cache), PullRequest(repo, (file,)), options=options))
    print(finished.files[0], finished.fetched)
