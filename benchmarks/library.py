"""How long the library takes to list what is here, beside huggingface_hub's own scan.

    python -m benchmarks.library [--repositories N] [--quantizations N]

Makes a cache of repositories with five small files and so many quantizations each. "Work" is the processor's
time, which is what opening the pane costs; it runs in a thread.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from spnl_tui.hub.library import Library
from tests.support.hf_cache import add_snapshot

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
