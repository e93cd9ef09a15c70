"""Helpers for tests of pulls: quick options, and checks of the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.pulls.pull import (
    PullEvent,
    PullFinished,
    PullNoted,
    PullOptions,
    PullProgressed,
    PullRequest,
    pull,
)
from tests.support.hub import LoopbackHub

QUICK = PullOptions(
    stall_s=20, connect_s=20, backoff_s=0.02, backoff_max_s=0.1, patience_s=20, reserve=0, connections=2
)
"""The real options with short pauses between attempts. Silence is tolerated for long, so that a busy machine
is not mistaken for it; tests of silence override this."""

REPO = "acme/Tiny-GGUF"
FILE = "tiny-Q4_K_M.gguf"
ASKED = PullRequest(REPO, (FILE,))


async def run_pull(
    hub: LoopbackHub | str,
    cache: Path,
    request: PullRequest = ASKED,
    *,
    options: PullOptions = QUICK,
    token: str | None = None,
    events: list[PullEvent] | None = None,
) -> PullFinished:
    """Pull to the end. `events` receives all events, also if the pull fails."""
    seen = events if events is not None else []
    endpoint = hub if isinstance(hub, str) else hub.endpoint
    access = HubAccess(endpoint, token or False)
    async with aclosing(pull(request, hub=access, cache=cache, options=options)) as stream:
        async for event in stream:
            seen.append(event)
    last = seen[-1]
    assert isinstance(last, PullFinished)
    return last


def part_files(root: Path) -> list[Path]:
    """Return every file but locks: a cancelled pull must leave none."""
    # os.walk, unlike rglob, tolerates directories that disappear.
    found = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
    return [path for path in found if ".locks" not in path.parts]


def part_size(cache: Path) -> int:
    """Return the bytes in part files, even while these appear and disappear."""
    size = 0
    for path in part_files(cache):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size if path.suffix == ".part" else 0
    return size


def notes(events: Sequence[PullEvent]) -> list[str]:
    return [event.text for event in events if isinstance(event, PullNoted)]


def stages(events: Sequence[PullEvent]) -> list[str]:
    """Return the displayed stages without repetitions."""
    shown = [event.stage for event in events if isinstance(event, PullProgressed)]
    return [stage for index, stage in enumerate(shown) if index == 0 or shown[index - 1] != stage]


def blobs(cache: Path) -> list[Path]:
    """Return all files among the blobs, parts included."""
    return sorted(cache.glob("models--*/blobs/*"))


def leftovers(cache: Path) -> list[Path]:
    """Return files that must not remain in a cache after a successful pull."""
    return sorted(
        path
        for path in cache.rglob("*")
        if path.name.endswith((".part", ".tmp", ".incomplete")) or (path.is_symlink() and not path.exists())
    )


def assert_sound(cache: Path) -> None:
    """Check that the hash of each blob is its name."""
    for blob in blobs(cache):
        if blob.suffix == ".part":
            continue
        content = blob.read_bytes()
        if len(blob.name) == 64:
            assert hashlib.sha256(content).hexdigest() == blob.name
        else:
            assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == blob.name
    for link in cache.glob("models--*/snapshots/*/**/*"):
        assert link.is_dir() or (link.is_symlink() and link.exists()), link
