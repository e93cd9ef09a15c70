"""Time to list a folder of many files, as a ratio to a plain walk over the same files.

    python -m benchmarks.listing [--files N] [--models N] [--rounds N]

Create a folder of `hub.model_dirs` with N files: models, half of them without a suffix, and files that other
programs keep beside them. The walk reads the directories and the status of each file. Both alternate, and the
ratio is that of the medians. The time of the first listing, which opens files, is printed too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from spnl_tui.hub.library.library import Library

_SUFFIXES = (".json", ".txt", ".safetensors", ".bin", "")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "models")
        fill(root, options.files, options.models)
        library = Library(Path(name, "cache"), Path(name, "imported.json"), model_dirs=[root])
        asyncio.run(_compare(library, root, options.rounds))


def fill(root: Path, files: int, models: int) -> None:
    """Write the files, a hundred to a folder."""
    for number in range(files):
        folder = root / f"group-{number // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        if number % (files // models) == 0:
            suffix = ".gguf" if number // (files // models) % 2 else ""
            (folder / f"model-{number}{suffix}").write_bytes(b"GGUF" + bytes(100))
        else:
            (folder / f"file-{number}{_SUFFIXES[number % len(_SUFFIXES)]}").write_bytes(b"other")


async def _compare(library: Library, root: Path, rounds: int) -> None:
    begin = time.perf_counter()
    entries = (await library.listing()).entries
    first = time.perf_counter() - begin
    walks, listings = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        files = walk(root)
        walks.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        await library.listing()
        listings.append(time.perf_counter() - begin)
    plain, listed = statistics.median(walks), statistics.median(listings)
    print(f"{files:,} files, {len(entries):,} models")
    print(f"plain walk {1e3 * plain:.1f} ms, listing {1e3 * listed:.1f} ms (the first {1e3 * first:.1f} ms)")
    print(f"ratio {listed / plain:.2f}")


def walk(root: Path) -> int:
    """Return the number of files after reading the status of each."""
    count = 0
    for folder, _, names in os.walk(root):
        for name in names:
            os.stat(os.path.join(folder, name))
            count += 1
    return count


if __name__ == "__main__":
    main()
