"""The store as another program sees it while spnl-chat runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def finished_replies(folder: Path) -> int:
    """Return the number of finished replies in the store below this folder."""
    files = list(folder.rglob("*.db"))
    if not files:
        return 0
    with closing(sqlite3.connect(f"file:{files[0]}?mode=ro", uri=True)) as store:
        (count,) = store.execute("SELECT count(*) FROM turn WHERE finish_reason IS NOT NULL").fetchone()
    return int(count)


def stored_texts(file: Path) -> list[str]:
    """Return the text of every turn in this store."""
    with closing(sqlite3.connect(file)) as store:
        rows = store.execute("SELECT text FROM turn").fetchall()
    return [text for (text,) in rows]
