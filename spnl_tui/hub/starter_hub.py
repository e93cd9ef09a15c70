"""Gets the starter model from Hugging Face, pulled into the cache like any other model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Literal

from spnl_tui.errors import SpnlError
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.library.cache_layout import RepositoryCache, default_cache
from spnl_tui.hub.pulls.progress import PullProgressed, Stage
from spnl_tui.hub.pulls.pull import PullOptions, PullRequest, RateLimit, drop_parts, pull
from spnl_tui.hub.starter import StarterProgressed

REPOSITORY = "bartowski/SmolLM2-135M-Instruct-GGUF"
# Rows that are not multiples of 256 make K-quants slow, so Q8_0 is both the fastest and the best.
FILE = "SmolLM2-135M-Instruct-Q8_0.gguf"

# There is another source, so give up soon if the hub does not respond, and later if it goes silent.
_PROBE = PullOptions(connect_s=4.0, patience_s=4.0)
_PULL = PullOptions(patience_s=60.0)

_STAGES: Mapping[Stage, Literal["waiting", "connecting", "fetching", "checking"]] = {
    "waiting": "waiting",
    "connecting": "connecting",
    "pulling": "fetching",
    "stalled": "connecting",
    "verifying": "checking",
    "done": "checking",
}


class HubSource:
    """Pulls the starter model, verified against the SHA-256 from the hub."""

    name = "Hugging Face"

    def __init__(
        self, hub: HubAccess | None = None, cache: Path | None = None, rate: RateLimit | None = None
    ) -> None:
        """`cache` None means huggingface_hub's own cache."""
        self._hub = hub or HubAccess()
        self._cache = cache
        self._rate = rate

    def locate(self) -> Path | None:
        """Return the file if any snapshot in the cache has it; else None."""
        cache = RepositoryCache(self._cache or default_cache(), REPOSITORY)
        return next((path for path in sorted(cache.snapshots.glob(f"*/{FILE}")) if path.is_file()), None)

    async def fetch(self) -> AsyncGenerator[StarterProgressed, None]:
        """Pull the file. Closing the iterator keeps the received data for the next time.

        Raises:
            HubError, PullError: as for `pull`, but after fewer retries.
        """
        yield StarterProgressed(stage="connecting", source=self.name)
        # A pull without files only reads the list of files, the quickest check that the hub is available.
        async for _ in pull(PullRequest(REPOSITORY, ()), hub=self._hub, cache=self._cache, options=_PROBE):
            pass
        request = PullRequest(REPOSITORY, (FILE,))
        events = pull(request, hub=self._hub, cache=self._cache, options=_PULL, rate=self._rate)
        try:
            async with contextlib.aclosing(events):
                async for event in events:
                    if isinstance(event, PullProgressed):
                        yield StarterProgressed(
                            stage=_STAGES[event.stage], source=self.name, done=event.done, total=event.total
                        )
        except SpnlError:
            # The model will come from the other source, so nothing else would delete this data.
            await asyncio.to_thread(drop_parts, request, self._cache)
            raise
