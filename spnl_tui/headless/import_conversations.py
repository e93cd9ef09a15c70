"""`spnl-chat history import`: conversations from files, with progress and a report."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spnl_tui.conversations.exchange.image_files import store_images
from spnl_tui.conversations.exchange.imports import ReadFile, read_export
from spnl_tui.conversations.storage.import_rows import Imported, ImportResult
from spnl_tui.errors import StoreError
from spnl_tui.headless.output import OK, Transient, print_json, show_error
from spnl_tui.services import Services
from spnl_tui.text import plain

_TERMINAL_S, _LOG_S = 0.1, 0.5
"""The seconds between progress reports on a terminal, and elsewhere."""
_SHOWN = 10
"""The limit of skipped conversations named in words; JSON has all."""
_NAMES = {"audio": "audio recordings", "image": "images", "video": "videos", "file": "files"}


async def import_files(services: Services, paths: Sequence[Path], *, json_: bool) -> int:
    """Import conversations from exports of spnl-chat, ChatGPT and oterm, and report the result.

    All files are read before the first conversation is saved, and all are saved in one transaction. So a
    mistake in the last file, an interrupt or a kill leaves nothing behind.
    """
    store = await services.store()
    if store.problem is not None:
        show_error(store.problem)
    progress = _Progress()
    try:
        files = [await progress.read(path) for path in paths]
        conversations = [conversation for file in files for conversation in file.conversations]
        images = {sha256: data for file in files for sha256, data in file.images.items()}
        if images:
            # Before the conversations, so that none of these is without them.
            refused = await asyncio.to_thread(store_images, images, services.media.images)
            files[0].left_out["image"] = files[0].left_out.get("image", 0) + refused
        result = await store.import_all(conversations, lambda done, of: progress.show("Saved", done, of))
    finally:
        progress.clear()
    if json_:
        print_json(_as_plain(paths, files, result))
    else:
        for each in (*result.added, *result.updated):
            print(f"{plain(each.id)}  {plain(each.title) or '(no title)'}")
        print("\n".join(_report(files, result)), file=sys.stderr)
    return OK


def _as_plain(paths: Sequence[Path], files: Sequence[ReadFile], result: ImportResult) -> dict[str, Any]:
    def listed(items: Sequence[Imported]) -> list[dict[str, str]]:
        return [{"id": each.id, "title": each.title} for each in items]

    return {
        "imported": listed(result.added),
        "updated": listed(result.updated),
        "unchanged": listed(result.unchanged),
        "skipped": [
            {"file": path.name, "title": each.title, "reason": each.reason}
            for path, file in zip(paths, files, strict=True)
            for each in file.skipped
        ],
        "left_out": dict(_left_out(files)),
    }


def _report(files: Sequence[ReadFile], result: ImportResult) -> list[str]:
    """Return what was imported, updated and skipped, and why, as lines."""
    lines = [
        f"Imported {_count(len(result.added))}, updated {len(result.updated):,}; "
        f"{len(result.unchanged):,} had not changed."
    ]
    skipped = [each for file in files for each in file.skipped]
    if skipped:
        lines.append(f"Skipped {_count(len(skipped))}:")
        lines += [f"  {plain(each.title)}: {each.reason}" for each in skipped[:_SHOWN]]
        if len(skipped) > _SHOWN:
            lines.append(f"  and {len(skipped) - _SHOWN:,} more: --json names them all")
    if left_out := _left_out(files):
        named = ", ".join(f"{count:,} {_NAMES.get(kind, kind)}" for kind, count in left_out.items())
        lines.append(f"Left out, since the export has their names only: {named}.")
    return lines


def _left_out(files: Sequence[ReadFile]) -> Counter[str]:
    total: Counter[str] = Counter()
    for file in files:
        total.update(file.left_out)
    return +total


def _count(conversations: int) -> str:
    return f"{conversations:,} conversation{'' if conversations == 1 else 's'}"


class _Progress:
    """Shows the progress of an import on standard error: one line on a terminal, a few lines elsewhere."""

    def __init__(self) -> None:
        self._line = Transient()
        self._shown_at = time.monotonic()
        self._cancelled = threading.Event()

    async def read(self, path: Path) -> ReadFile:
        """Read a file in a thread, so that signals work meanwhile."""

        def on_read(done: int, total: int) -> None:
            if self._cancelled.is_set():
                raise StoreError("The import was cancelled", "Nothing was imported.")
            self.show(f"{path.name}: read", done, total)

        self._line.show(f"{path.name}: reading")
        try:
            return await asyncio.to_thread(read_export, path, on_read)
        except asyncio.CancelledError:
            self._cancelled.set()
            raise

    def show(self, what: str, done: int, total: int) -> None:
        """Show how many of the conversations are done."""
        now = time.monotonic()
        if now - self._shown_at < (_TERMINAL_S if self._line.on else _LOG_S):
            return
        self._shown_at = now
        text = f"{what} {done:,} of {_count(total)}"
        if self._line.on:
            self._line.show(text)
        else:
            print(plain(text), file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Remove the line."""
        self._line.clear()
