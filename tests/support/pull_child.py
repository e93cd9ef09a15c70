"""A program that pulls a file, to be killed by tests.

python -m tests.support.pull_child ENDPOINT CACHE REPO FILE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from spnl_tui.hub.pulls.pull import PullRequest
from tests.support.pulls import QUICK, run_pull

if __name__ == "__main__":
    endpoint, cache, repo, file = sys.argv[1:]
    finished = asyncio.run(run_pull(endpoint, Path(cache), PullRequest(repo, (file,)), options=QUICK))
    print(finished.files[0], finished.fetched)
