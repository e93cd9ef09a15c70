"""`spnl-chat history import`: conversations from elsewhere, with progress and a report."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.image_files import store_images
from spnl_tui.conversations.exchange.items import Item, Skipped
from spnl_tui.conversations.exchange.local import find_local
from spnl_tui.conversations.exchange.readers.messages import Gathered
from spnl_tui.conversations.exchange.sources import read_source
from spnl_tui.conversations.storage.import_rows import Imported, ImportResult
from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import StoreError
from spnl_tui.headless.output import OK, Transient, print_json, show_error
from spnl_tui.services import Services
from spnl_tui.text import plain

_TERMINAL_S, _LOG_S = 0.1, 0.5
"""The seconds between progress reports on a terminal, and elsewhere."""
_SHOWN = 10
"""The limit of skipped conversations named in words; JSON has all."""
_WHOLE = 64 * 1024**2
"""Bytes up to which all sources together are imported in one transaction."""
_BATCH = 500
_BATCH_BYTES = 8 * 1024**2
"""Otherwise a transaction ends after this many conversations or bytes of the source."""
_NAMES = {"audio": "audio recordings", "image": "images", "video": "videos", "file": "files"}


@dataclass(slots=True)
class _Import:
    """The progress of an import."""

    dry_run: bool
    result: ImportResult = field(default_factory=ImportResult)
    skipped: list[tuple[Path, Skipped]] = field(default_factory=list)
    gathered: Gathered = field(default_factory=Gathered)


async def import_files(
    services: Services,
    paths: Sequence[Path],
    *,
    program: str | None = None,
    dry_run: bool = False,
    json_: bool,
) -> int:
    """Import conversations from files, folders, ZIP files and databases, and report the result.

    Up to 64 MB in all, everything is read before the first conversation is saved, and all are saved in one
    transaction: a mistake in the last file, an interrupt or a kill leaves nothing behind. More is saved in
    batches, so that memory stays small; the same import again then continues. With `dry_run`, nothing is
    saved. `program` is one of exchange/local.py whose own files are read, too.
    """
    if program is not None:
        paths = [*paths, *await asyncio.to_thread(find_local, program, Path.home(), os.environ)]
    store = await services.store()
    if store.problem is not None:
        show_error(store.problem)
    progress = _Progress()
    done = _Import(dry_run)
    whole = await asyncio.to_thread(_size, paths) <= _WHOLE
    pending: list[Conversation] = []
    try:
        for path in paths:
            items = _Reading(path, done.gathered, progress)
            while batch := await items.next(_BATCH):
                pending += [item for item in batch if isinstance(item, Conversation)]
                done.skipped += [(path, item) for item in batch if isinstance(item, Skipped)]
                if not whole:
                    await _save(services, store, pending, done, progress)
                    pending = []
        await _save(services, store, pending, done, progress)
    finally:
        progress.clear()
    if json_:
        print_json(_as_plain(done))
    else:
        for each in (*done.result.added, *done.result.updated):
            print(f"{plain(each.id)}  {plain(each.title) or '(no title)'}")
        print("\n".join(_report(done)), file=sys.stderr)
    return OK


async def _save(
    services: Services, store: Store, pending: list[Conversation], done: _Import, progress: _Progress
) -> None:
    images, done.gathered.images = done.gathered.images, {}
    if images and not done.dry_run:
        # Before the conversations, so that none of these is without them.
        refused = await asyncio.to_thread(store_images, images, services.media.images)
        done.gathered.left_out["image"] += refused
    saved = await store.import_all(
        pending, lambda count, of: progress.show("Saved", f"{count:,} of {_count(of)}"), dry_run=done.dry_run
    )
    done.result.added += saved.added
    done.result.updated += saved.updated
    done.result.unchanged += saved.unchanged
    done.result.undated += saved.undated


class _Reading:
    """Reads a source in batches, each in a thread, so that signals work meanwhile."""

    def __init__(self, path: Path, gathered: Gathered, progress: _Progress) -> None:
        self._cancelled = threading.Event()
        self._done = 0

        def on_read(done: int, total: int) -> None:
            self._done = done
            if self._cancelled.is_set():
                raise StoreError("The import was cancelled", "Nothing was imported.")
            progress.show(f"{path.name}: read", f"{done / max(total, 1):.0%}")

        progress.line(f"{path.name}: reading")
        self._items = read_source(path, gathered, on_read)

    async def next(self, count: int) -> list[Item]:
        """Return up to this many items, fewer if they are large; an empty list at the end."""
        try:
            return await asyncio.to_thread(lambda: list(self._take(count)))
        except asyncio.CancelledError:
            self._cancelled.set()
            raise

    def _take(self, count: int) -> Iterator[Item]:
        begin = self._done
        for item in islice(self._items, count):
            yield item
            # In a folder or a ZIP file, the count restarts with each file.
            if not 0 <= self._done - begin < _BATCH_BYTES:
                return


def _size(paths: Sequence[Path]) -> int:
    total = 0
    for path in paths:
        if path.is_dir():
            total += sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
        elif path.is_file():
            total += path.stat().st_size
    return total


def _as_plain(done: _Import) -> dict[str, Any]:
    def listed(items: Sequence[Imported]) -> list[dict[str, str]]:
        return [{"id": each.id, "title": each.title} for each in items]

    return {
        "imported": listed(done.result.added),
        "updated": listed(done.result.updated),
        "unchanged": listed(done.result.unchanged),
        "skipped": [
            {"file": path.name, "title": each.title, "reason": each.reason} for path, each in done.skipped
        ],
        "left_out": dict(+done.gathered.left_out),
        **({"dry_run": True} if done.dry_run else {}),
    }


def _report(done: _Import) -> list[str]:
    """Return what was imported, updated and skipped, and why, as lines."""
    result = done.result
    lines = [
        f"Imported {_count(len(result.added))}, updated {len(result.updated):,}; "
        f"{len(result.unchanged):,} had not changed."
    ]
    if done.dry_run:
        lines = [
            f"This was a dry run. It would import {_count(len(result.added))} and update "
            f"{len(result.updated):,}; {len(result.unchanged):,} have not changed."
        ]
    if result.undated:
        lines.append(f"{_count(result.undated)} had no date and got the time of this import.")
    if skipped := done.skipped:
        lines.append(f"Skipped {_count(len(skipped))}:")
        lines += [f"  {plain(each.title)}: {plain(each.reason)}" for _, each in skipped[:_SHOWN]]
        if len(skipped) > _SHOWN:
            lines.append(f"  and {len(skipped) - _SHOWN:,} more: --json names them all")
    if left_out := +Counter(done.gathered.left_out):
        named = ", ".join(f"{count:,} {_NAMES.get(kind, kind)}" for kind, count in left_out.items())
        lines.append(f"Left out, since the export has their names only: {named}.")
    return lines


def _count(conversations: int) -> str:
    return f"{conversations:,} conversation{'' if conversations == 1 else 's'}"


class _Progress:
    """Shows the progress of an import on standard error: one line on a terminal, a few lines elsewhere."""

    def __init__(self) -> None:
        self._line = Transient()
        self._shown_at = time.monotonic()

    def line(self, text: str) -> None:
        """Show a line on a terminal."""
        self._line.show(text)

    def show(self, what: str, how_far: str) -> None:
        """Show the progress, not too often."""
        now = time.monotonic()
        if now - self._shown_at < (_TERMINAL_S if self._line.on else _LOG_S):
            return
        self._shown_at = now
        text = f"{what} {how_far}"
        if self._line.on:
            self._line.show(text)
        else:
            print(plain(text), file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        self._line.clear()
