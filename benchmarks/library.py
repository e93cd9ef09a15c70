"""Time to list the models on this disk, beside huggingface_hub's own scan, and in the models pane.

    python -m benchmarks.library [--repositories N] [--quantizations N]

Create a cache of repositories with five small files and N quantizations each. "Work" is processor time.
Listing runs in a thread; the pane's own work, and the longest time without an answered key, are measured in
the real interface without a screen. Its hub is a port without a listener.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from spnl_tui.app import SpnlChat
from spnl_tui.hub.access import HubAccess
from spnl_tui.hub.catalog import Catalog
from spnl_tui.hub.inspection import ModelBrowser
from spnl_tui.hub.library.library import Library
from spnl_tui.hub.verdicts import Conditions
from spnl_tui.models.machine import read_machine
from spnl_tui.settings import Settings
from spnl_tui.ui.main_screen import MainScreen
from spnl_tui.ui.services import InterfaceServices
from spnl_tui.ui.widgets.background import start
from tests.support.hf_cache import add_snapshot
from tests.support.scripted_engine import ScriptedEngine
from tests.support.waiting import wait_until

_BEAT_S = 0.002
_OTHERS = dict.fromkeys((".gitattributes", "README.md", "config.json", "params", "tokenizer.json"), b"{}")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repositories", type=int, default=200)
    parser.add_argument("--quantizations", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for number in range(options.repositories):
            files = {
                f"m-{number}-Q{n}_K.gguf": b"%d %d" % (number, n) for n in range(2, 2 + options.quantizations)
            }
            add_snapshot(cache, f"acme/Model-{number}-GGUF", files | _OTHERS)
        library = Library(cache, cache / "imported.json")
        _measure("library.listing()", lambda: asyncio.run(library.listing()))
        _measure("huggingface_hub.scan_cache_dir()", lambda: _scan(cache))
        asyncio.run(_open_pane(library))


async def _open_pane(library: Library) -> None:
    """Show the models pane twice. It is prepared in the background first, and that is measured too."""

    async def conditions() -> Conditions:
        return Conditions(machine=read_machine(), context=8192)

    browser = ModelBrowser(Catalog(HubAccess("http://127.0.0.1:9", False)), library, conditions)
    services = InterfaceServices(engine=ScriptedEngine(), browser=lambda: browser)
    app = SpnlChat(Settings(), services)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = app.screen
        assert isinstance(screen, MainScreen)

        def rests() -> bool:
            """Return True if the library has been read and is displayed."""
            reading = any(w.group == "library" and not w.is_finished for w in app.workers)
            return screen.panes.models is not None and screen.panes.models.listed and not reading

        def ahead() -> None:
            start(screen, "models-ahead", screen.lazy_models.make_ahead)

        def shown() -> None:
            app.simulate_key("f3")

        steps = {"making the pane ahead": ahead, "opening it, first time": shown, "opening it again": shown}
        for what, do in steps.items():
            await pilot.press("f2")
            await pilot.pause(0.5)
            beat = asyncio.create_task(_longest_gap())
            wall, work = time.perf_counter(), time.process_time()
            do()
            until_seen = ""
            if do is shown:
                await wait_until(
                    lambda: screen.panes.seen == "models" and (pane := screen.panes.models) and pane.listed
                )
                seen = asyncio.Event()
                screen.call_after_refresh(seen.set)
                await seen.wait()
                until_seen = f" {1e3 * (time.process_time() - work):.0f} until the library is seen,"
            await wait_until(rests)
            wall, work = time.perf_counter() - wall, time.process_time() - work
            beat.cancel()
            gap = await beat
            print(
                f"{what:<34}{1e3 * work:5.0f} ms of work,{until_seen}"
                f" {1e3 * wall:5.0f} ms in all; no key is answered for {1e3 * gap:.0f} ms at the longest"
            )


async def _longest_gap() -> float:
    """Record the longest time that the event loop was busy, until cancelled."""
    longest, last = 0.0, time.perf_counter()
    try:
        while True:
            await asyncio.sleep(_BEAT_S)
            now = time.perf_counter()
            longest, last = max(longest, now - last - _BEAT_S), now
    except asyncio.CancelledError:
        return longest


def _scan(cache: Path) -> None:
    from huggingface_hub import scan_cache_dir

    scan_cache_dir(cache)


def _measure(what: str, do: Callable[[], object]) -> None:
    walls, works = [], []
    for _ in range(7):
        wall, work = time.perf_counter(), time.process_time()
        do()
        walls.append(time.perf_counter() - wall)
        works.append(time.process_time() - work)
    print(f"{what:<34}{1e3 * min(works):5.0f} ms of work, {1e3 * min(walls):5.0f} ms in all (best of 7)")


if __name__ == "__main__":
    main()
