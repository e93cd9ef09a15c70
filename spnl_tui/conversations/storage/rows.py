"""Conversations, turns and the list as rows of the store's tables, and back.

These run in the store's threads, inside a transaction that the store has begun.
"""

from __future__ import annotations

import json
import random
import sqlite3
from dataclasses import dataclass
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.records import content_to_json, from_plain, to_json
from spnl_tui.conversations.storage.folding import fold, indexed_copy
from spnl_tui.conversations.turn import FINISH_REASONS, Provenance, Turn
from spnl_tui.errors import StoreError
from spnl_tui.models.parts import as_content, content_from_plain, is_plain
from spnl_tui.models.request import ROLES, Sampling
from spnl_tui.text import well_formed

Cursor = tuple[int, float, int]
_LATEST = 1e11
"""Unix seconds, in the year 5138."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSummary:
    """One line of the list of conversations."""

    id: str
    title: str
    title_is_automatic: bool
    model: str
    tags: tuple[str, ...]
    pinned: bool
    archived: bool
    created_at: float
    updated_at: float
    turns: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list. `next` is the cursor of the following page, None at the end."""

    items: tuple[ConversationSummary, ...]
    next: Cursor | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """A filter for the list. Times are of the last change: `since` is included, `until` is not."""

    archived: bool = False
    """True lists the archived conversations, False the others."""
    tag: str | None = None
    title: str = ""
    """Text that the title or a tag contains, in any case and with or without accents."""
    model: str | None = None
    since: float | None = None
    until: float | None = None


def details_row(conversation: Conversation) -> dict[str, Any]:
    """Return the row of a conversation."""
    return {
        "id": conversation.id,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "pinned": int(conversation.pinned),
        "archived": int(conversation.archived),
        "title_is_automatic": int(conversation.title_is_automatic),
        "title": well_formed(conversation.title),
        "model": well_formed(conversation.model),
        "sampling": to_json(conversation.sampling),
        # As pairs, since the root is chosen for, too, and has no id.
        "chosen": json.dumps(list(conversation.chosen.items())),
        "system_prompt": well_formed(conversation.system_prompt),
        "searched": indexed_copy(well_formed(conversation.title)),
    }


def save_details(connection: sqlite3.Connection, details: dict[str, Any], tags: tuple[str, ...]) -> int:
    columns = list(details)
    key: int = connection.execute(
        f"""
        INSERT INTO conversation ({", ".join(columns)}) VALUES ({", ".join(f":{c}" for c in columns)})
        ON CONFLICT (id) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in columns if c != "id")}
        RETURNING key
        """,
        details,
    ).fetchall()[0][0]
    save_tags(connection, key, tags)
    return key


def save_tags(connection: sqlite3.Connection, key: int, tags: tuple[str, ...]) -> None:
    connection.execute("DELETE FROM tag WHERE conversation = ?", (key,))
    connection.executemany(
        "INSERT INTO tag (conversation, position, name) VALUES (?, ?, ?)",
        [(key, position, well_formed(name)) for position, name in enumerate(dict.fromkeys(tags))],
    )


def save_turn(
    connection: sqlite3.Connection, conversation: int, model: str, turn: Turn, after: int = 0
) -> int:
    """Insert the turn, or update what a reply changes: another program may have moved or pinned the turn.

    Returns the key of a new turn, to pass as `after` with the next one.
    """
    values = {
        "id": turn.id,
        "conversation": conversation,
        "parent": turn.parent,
        "role": turn.role,
        "created_at": turn.created_at,
        "finish_reason": turn.finish_reason,
        "pinned": int(turn.pinned),
        # Of a prompt, the model that it was first meant for.
        "model": well_formed((turn.provenance.model if turn.provenance else "") or model),
        "provenance": well_formed(to_json(turn.provenance)) if turn.provenance else None,
        "error": well_formed(turn.error),
        "text": well_formed(turn.text),
        "reasoning": well_formed(turn.reasoning),
        "parts": None if is_plain(turn.content) else well_formed(content_to_json(turn.content)),
        # A reply is indexed when it ends.
        "searched": None if turn.streaming else _searched(turn),
    }
    stored = connection.execute("SELECT conversation FROM turn WHERE id = :id", values).fetchone()
    if stored is not None:
        if stored[0] != conversation:
            raise StoreError("A turn cannot be saved", f"{turn.id} belongs to another conversation.")
        connection.execute(
            """
            UPDATE turn SET finish_reason = :finish_reason,
                model = CASE WHEN :provenance IS NULL THEN model ELSE :model END,
                provenance = :provenance, error = :error, text = :text, reasoning = :reasoning,
                parts = :parts, searched = :searched
            WHERE id = :id
            """,
            values,
        )
        return after
    key = values["key"] = _free_key(connection, max(int(turn.created_at * 1000), after + 1))
    connection.execute(
        f"INSERT INTO turn ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)})", values
    )
    return key


def _searched(turn: Turn) -> str | None:
    """Return the text to index in place of the turn's own."""
    text = well_formed(turn.model_text)
    return indexed_copy(text) or (None if is_plain(turn.content) else text)


def taken(connection: sqlite3.Connection, conversation: str, turns: list[str]) -> bool:
    """True if any of these ids is in the store."""
    if connection.execute("SELECT 1 FROM conversation WHERE id = ?", (conversation,)).fetchone():
        return True
    ids = json.dumps(turns)
    query = "SELECT 1 FROM json_each(?) AS wanted JOIN turn ON turn.id = wanted.value LIMIT 1"
    return connection.execute(query, (ids,)).fetchone() is not None


def _free_key(connection: sqlite3.Connection, key: int) -> int:
    """Return this key, or a free one a little above it."""
    tried, width = 0, 60_000
    at = key
    while connection.execute("SELECT 1 FROM turn WHERE key = ?", (at,)).fetchone():
        tried += 1
        # A few in a row keep their order. Imports may have thousands of turns with one time: any place within
        # the next minute is good enough for these, and beyond it if that is full.
        at = key + tried if tried < 8 else key + random.randrange(width)
        width += 6000
    return at


def key_of(connection: sqlite3.Connection, id: str) -> int:
    row = connection.execute("SELECT key FROM conversation WHERE id = ? AND deleted = 0", (id,)).fetchone()
    if row is None:
        raise StoreError("No such conversation", f"There is no conversation {id!r} in the store.")
    key: int = row[0]
    return key


def load(connection: sqlite3.Connection, id: str) -> Conversation:
    key = key_of(connection, id)
    row = connection.execute(
        """
        SELECT title, title_is_automatic, system_prompt, sampling, model, pinned, archived, created_at,
            updated_at, chosen
        FROM conversation WHERE key = ?
        """,
        (key,),
    ).fetchone()
    tags = connection.execute("SELECT name FROM tag WHERE conversation = ? ORDER BY position", (key,))
    turns = connection.execute(
        """
        SELECT id, parent, role, text, reasoning, finish_reason, error, provenance, created_at, pinned,
            parts
        FROM turn WHERE conversation = ? AND deleted = 0
        """,
        (key,),
    )
    try:
        details = Conversation(
            id=id,
            title=row[0],
            title_is_automatic=bool(row[1]),
            system_prompt=row[2],
            sampling=from_plain(Sampling, json.loads(row[3])),
            model=row[4],
            tags=tuple(name for (name,) in tags),
            pinned=bool(row[5]),
            archived=bool(row[6]),
            created_at=_time(row[7]),
            updated_at=_time(row[8]),
            chosen=dict(json.loads(row[9])),
        )
        return Conversation.of(details, (_turn(*turn) for turn in turns))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(
            "A conversation cannot be read", f"The stored conversation {id}: {error}."
        ) from error


def _turn(
    id: str,
    parent: str | None,
    role: Any,
    text: str,
    reasoning: str,
    finish_reason: Any,
    error: str,
    provenance: str | None,
    created_at: float,
    pinned: int,
    parts: str | None,
) -> Turn:
    if role not in ROLES or finish_reason not in FINISH_REASONS:
        raise ValueError(f"the turn {id} has an unknown role or finish reason")
    return Turn(
        id=id,
        parent=parent,
        role=role,
        content=as_content(text) if parts is None else content_from_plain(json.loads(parts)),
        reasoning=reasoning,
        finish_reason=finish_reason,
        error=error,
        provenance=from_plain(Provenance, json.loads(provenance)) if provenance else None,
        created_at=_time(created_at),
        pinned=bool(pinned),
    )


def _time(stored: float) -> float:
    """Return a time that a calendar has: a damaged store may hold any number."""
    return min(max(stored, 0.0), _LATEST)


def list_page(connection: sqlite3.Connection, where: ListFilter, after: Cursor | None, limit: int) -> Page:
    conditions = ["c.deleted = 0", "c.archived = :archived"]
    values: dict[str, Any] = {"archived": int(where.archived), "limit": limit + 1}
    if after is not None:
        conditions.append("(c.pinned, c.updated_at, c.key) < (:pinned, :updated_at, :key)")
        values |= zip(("pinned", "updated_at", "key"), after, strict=True)
    for name, condition in {
        "tag": "EXISTS (SELECT 1 FROM tag WHERE tag.conversation = c.key AND tag.name = :tag)",
        "model": "c.model = :model",
        "since": "c.updated_at >= :since",
        "until": "c.updated_at < :until",
    }.items():
        if getattr(where, name) is not None:
            conditions.append(condition)
            values[name] = getattr(where, name)
    if wanted := " ".join(fold(where.title).split()):
        connection.create_function("has_wanted", 1, lambda text: wanted in fold(text), deterministic=True)
        tags = "SELECT 1 FROM tag WHERE tag.conversation = c.key AND has_wanted(tag.name)"
        conditions.append(f"(has_wanted(c.title) OR EXISTS ({tags}))")
    rows = connection.execute(
        f"""
        SELECT c.key, c.id, c.title, c.title_is_automatic, c.model, c.pinned, c.archived, c.created_at,
            c.updated_at,
            (SELECT json_group_array(name) FROM
                (SELECT name FROM tag WHERE tag.conversation = c.key ORDER BY position)),
            (SELECT count(*) FROM turn WHERE turn.conversation = c.key AND turn.deleted = 0)
        FROM conversation AS c WHERE {" AND ".join(conditions)}
        ORDER BY c.pinned DESC, c.updated_at DESC, c.key DESC LIMIT :limit
        """,
        values,
    ).fetchall()
    items = tuple(
        ConversationSummary(
            id=row[1],
            title=row[2],
            title_is_automatic=bool(row[3]),
            model=row[4],
            pinned=bool(row[5]),
            archived=bool(row[6]),
            created_at=_time(row[7]),
            updated_at=_time(row[8]),
            tags=tuple(json.loads(row[9])),
            turns=row[10],
        )
        for row in rows[:limit]
    )
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(items, (last[5], last[8], last[0]) if last else None)
