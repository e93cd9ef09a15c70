"""`spnl-chat history check`, `backup`, `restore` and `merge`: the store as a file."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.image_files import images_of
from spnl_tui.conversations.storage import backups
from spnl_tui.conversations.storage.import_rows import ImportResult
from spnl_tui.conversations.storage.rows import ListFilter
from spnl_tui.conversations.storage.store import Store
from spnl_tui.errors import AttachmentError, StoreError
from spnl_tui.headless.output import FAILED, OK, print_json, show_error
from spnl_tui.media.image_store import ImageStore
from spnl_tui.paths import Paths
from spnl_tui.services import Services
from spnl_tui.text import in_bytes, plain

_BATCH = 100


def store_file(paths: Paths) -> Path:
    """Return the file of the store."""
    return paths.data / "conversations.db"


async def check_store(services: Services, *, json_: bool) -> int:
    """Print what is wrong with the store; the exit code is 1 if anything is."""
    path = store_file(services.paths)
    found = await asyncio.to_thread(backups.check, path)
    if json_:
        print_json(
            {
                "file": str(path),
                "conversations": found.conversations,
                "turns": found.turns,
                "problems": list(found.problems),
            }
        )
    else:
        print(f"{plain(str(path))}: {found.conversations:,} conversations, {found.turns:,} turns.")
        for problem in found.problems:
            print(f"  {plain(problem)}")
        if found.problems:
            print("Restore a backup: spnl-chat history restore", file=sys.stderr)
        else:
            print("No damage was found.")
    return FAILED if found.problems else OK


async def back_up_store(services: Services, target: Path | None, *, daily: bool) -> int:
    """Copy the store to a file, or to the backups of the data directory."""
    path, folder = store_file(services.paths), _folder(services.paths)
    if daily:
        keep = services.settings.chat.backups
        made = await asyncio.to_thread(backups.back_up_today, path, folder, keep)
        print(f"{plain(str(made))}" if made else "There is nothing to do.")
        return OK
    if target is None:
        target = await asyncio.to_thread(_free, backups.backup_of_today(folder))
    size = await asyncio.to_thread(backups.back_up, path, target)
    print(f"{plain(str(target))}  {in_bytes(size)}")
    return OK


async def restore_store(services: Services, backup: Path | None, *, confirm: Callable[[str], bool]) -> int:
    """Restore a backup; without one, list those of the data directory."""
    path, folder = store_file(services.paths), _folder(services.paths)
    if backup is None:
        found = await asyncio.to_thread(backups.backups_in, folder)
        for each in found:
            print(f"{plain(str(each))}  {in_bytes(each.stat().st_size)}")
        if not found:
            print(f"There are no backups in {plain(str(folder))}.", file=sys.stderr)
        return OK if found else FAILED
    if not confirm(f"Replace the conversations by those of {plain(str(backup))}?"):
        return FAILED
    aside = await asyncio.to_thread(backups.restore, path, backup)
    print("Restored." if aside is None else f"Restored. The store of before is {plain(str(aside))}.")
    return OK


async def merge_store(services: Services, other: Path, *, dry_run: bool, json_: bool) -> int:
    """Add the conversations of another store by their ids, with their images, as an import does.

    Raises:
        StoreError: the other store cannot be read, or is this one.
    """
    path = store_file(services.paths)
    await asyncio.to_thread(_check_other, other, path)
    source = await Store.open_to_read(other)
    store = await services.store()
    if source.problem is not None:
        show_error(source.problem)
    result = ImportResult()
    missing = 0
    try:
        for archived in (False, True):
            cursor = None
            while True:
                page = await source.list(ListFilter(archived=archived), after=cursor, limit=_BATCH)
                batch = [await source.load(item.id) for item in page.items]
                if not dry_run:
                    # Before the conversations, so that none of these is without them.
                    missing += await asyncio.to_thread(_copy_images, batch, other, services.media.images)
                saved = await store.import_all(batch, dry_run=dry_run)
                result.added += saved.added
                result.updated += saved.updated
                result.unchanged += saved.unchanged
                if (cursor := page.next) is None:
                    break
    finally:
        await source.close()
    counts = {"added": len(result.added), "updated": len(result.updated), "unchanged": len(result.unchanged)}
    if json_:
        print_json({**counts, "missing_images": missing, "dry_run": dry_run})
        return OK
    begin = "This was a dry run. It would add" if dry_run else "Added"
    print(
        f"{begin} {counts['added']:,} conversations and update {counts['updated']:,}; "
        f"{counts['unchanged']:,} are the same."
    )
    if missing:
        print(f"{missing:,} images are not beside {plain(str(other))}.", file=sys.stderr)
    return OK


def _check_other(other: Path, path: Path) -> None:
    if not other.is_file():
        raise StoreError("There is no such store", f"{other} does not exist.", "Name a conversations.db.")
    if path.exists() and other.samefile(path):
        raise StoreError("This is the same store", f"{other} is already used.", "Name another machine's.")


def _copy_images(conversations: list[Conversation], other: Path, images: ImageStore) -> int:
    """Copy the images of these conversations from beside the other store; return how many are missing."""
    there = ImageStore(other.parent / "images")
    missing = 0
    for conversation in conversations:
        for sha256, image in images_of(conversation.turns()).items():
            if images.has(sha256):
                continue
            try:
                images.put(there.read(image))
            except AttachmentError:
                missing += 1
    return missing


def _folder(paths: Paths) -> Path:
    return paths.data / "backups"


def _free(path: Path) -> Path:
    if not path.exists():
        return path
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(2, 1000))
    return next(name for name in names if not name.exists())
