"""One mutated answer after the other through search, show and pull: only a SpnlError may come of it."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path

from spnl_tui.errors import SpnlError
from spnl_tui.headless import models as commands
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.pulls.pull import Pull, PullOptions, PullRequest
from spnl_tui.hub.verdicts import Conditions
from spnl_tui.models.machine import read_machine
from spnl_tui.models.reference import ModelReference
from tests.support.fuzz_hub import FILE, REPO, FuzzHub
from tests.support.pulls import assert_sound

ROUTES = ("search", "show", "pull")
_OPTIONS = PullOptions(
    stall_s=1, connect_s=1, backoff_s=0.005, backoff_max_s=0.01, patience_s=0.05, reserve=0, connections=2
)


class FuzzedRoutes:
    """The commands, against a hub of mutated answers. `folder` holds the cache."""

    def __init__(self, hub: FuzzHub, folder: Path) -> None:
        self._hub = hub
        self._cache = folder / "cache"
        self._access = HubAccess(hub.endpoint, False)
        self._catalog = Catalog(self._access, timeout=2)
        self._library = Library(self._cache, folder / "imports.json")
        self._conditions = Conditions(machine=read_machine(()), context=2048)

    async def run(self, route: str, seed: int) -> str:
        """Ask once, and return what came of it: "done", or the title of the error."""
        self._hub.begin(seed)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            failed: SpnlError | None = None
            try:
                await getattr(self, f"_{route}")(seed)
            except SpnlError as error:
                failed = error
        if failed is not None:
            assert "unforeseen" not in failed.title, str(failed)
            str(failed).encode()
            return failed.title
        shown = printed.getvalue()
        shown.encode()
        assert "\x1b" not in shown
        assert seed % 2 == 0 or "\u202e" not in shown  # JSON, at even seeds, quotes what it says
        return "done"

    async def _search(self, seed: int) -> None:
        await commands.search(
            self._catalog, "x", format="gguf", sort="trending", limit=5, json_=seed % 2 == 0
        )

    async def _show(self, seed: int) -> None:
        await commands.show(
            self._catalog,
            self._library,
            ModelReference(REPO),
            conditions=self._conditions,
            plan=lambda facts: "as stored",
            json_=seed % 2 == 0,
        )

    async def _pull(self, seed: int) -> None:
        shutil.rmtree(self._cache, ignore_errors=True)
        pull = Pull(PullRequest(REPO, (FILE,)), hub=self._access, cache=self._cache, options=_OPTIONS)
        pull.start()
        try:
            finished = await pull.wait()
        finally:
            assert_sound(self._cache)
        assert finished is not None
        json.dumps([str(file) for file in finished.files])

    async def close(self) -> None:
        """End the session."""
        await self._catalog.close()
