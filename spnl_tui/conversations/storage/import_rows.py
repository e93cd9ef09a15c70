"""Saving imported conversations: new ones are added, known ones updated, and nothing is doubled.

A conversation is known by its id, which the readers of exports make from the export's own. Where a turn or a
detail differs, the side that was changed last is right. Turns, pins and tags that only the store has stay.

These run in the store's threads, inside a transaction that the store has begun.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.copies import with_ids
from spnl_tui.conversations.storage import rows, tree_rows
from spnl_tui.conversations.turn import Turn

_FIRST_DATE = 86_400.0
"""Unix time. Earlier times mean that the export has no date: readers number its turns by milliseconds."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A conversation that was imported."""

    id: str
    title: str


@dataclass(slots=True)
class ImportResult:
    """The outcome for the conversations in the files."""

    added: list[Imported] = field(default_factory=list)
    updated: list[Imported] = field(default_factory=list)
    unchanged: list[Imported] = field(default_factory=list)
    undated: int = 0
    """How many of the added conversations had no date, so that they got the time of the import."""


def save_imported(
    connection: sqlite3.Connection,
    conversations: Sequence[Conversation],
    on_saved: Callable[[int, int], None],
) -> ImportResult:
    """Add or update these conversations. `on_saved` receives how many of how many are done."""
    result = ImportResult()
    for number, conversation in enumerate(conversations, 1):
        imported = Imported(conversation.id, conversation.title)
        row = connection.execute(
            "SELECT key, deleted FROM conversation WHERE id = ?", (conversation.id,)
        ).fetchone()
        if row is None:
            result.undated += conversation.updated_at < _FIRST_DATE
            _add(connection, _dated(conversation))
            result.added.append(imported)
        else:
            key, deleted = row
            if deleted:
                connection.execute("UPDATE conversation SET deleted = 0 WHERE key = ?", (key,))
            changed = _update(connection, key, conversation) or deleted
            (result.updated if changed else result.unchanged).append(imported)
        on_saved(number, len(conversations))
    return result


def _add(connection: sqlite3.Connection, conversation: Conversation) -> None:
    conversation = _with_own_turn_ids(connection, conversation, None)
    key = rows.save_details(connection, rows.details_row(conversation), conversation.tags)
    last = 0
    for turn in conversation.turns():
        last = rows.save_turn(connection, key, conversation.model, turn, last)


def _dated(conversation: Conversation) -> Conversation:
    """Return the conversation with its other date, or the present time, where a date is missing."""
    turns = tuple(conversation.turns())
    if min(conversation.created_at, conversation.updated_at, *(t.created_at for t in turns)) >= _FIRST_DATE:
        return conversation
    known = (conversation.created_at, conversation.updated_at, time.time())
    begin = next(at for at in known if at >= _FIRST_DATE)

    def dated(at: float) -> float:
        return at if at >= _FIRST_DATE else begin + at

    details = dataclasses.replace(
        conversation, created_at=dated(conversation.created_at), updated_at=dated(conversation.updated_at)
    )
    return Conversation.of(
        details, (dataclasses.replace(turn, created_at=dated(turn.created_at)) for turn in turns)
    )


def _update(connection: sqlite3.Connection, key: int, conversation: Conversation) -> bool:
    """Bring a stored conversation up to date. Returns True if anything changed."""
    conversation = _with_own_turn_ids(connection, conversation, key)
    stored = rows.load(connection, conversation.id)
    newer = conversation.updated_at > stored.updated_at
    changed = False
    last = 0
    for turn in conversation.turns():
        if turn.id in stored:
            if conversation.updated_at >= stored.updated_at and _said(turn) != _said(stored[turn.id]):
                rows.save_turn(connection, key, conversation.model, turn)
                changed = True
        else:
            changed = True
            last = rows.save_turn(connection, key, conversation.model, turn, last)
            connection.execute("UPDATE turn SET deleted = 0 WHERE id = ?", (turn.id,))
    if newer:
        details = rows.details_row(conversation)
        details |= {"pinned": int(stored.pinned or conversation.pinned)}
        details |= {"chosen": rows.details_row(stored)["chosen"]}
        tags = tuple(dict.fromkeys([*stored.tags, *conversation.tags]))
        differs = {**rows.details_row(stored), "updated_at": conversation.updated_at} != details
        if differs or tags != stored.tags or changed:
            rows.save_details(connection, details, tags)
            tree_rows.choose_branch(connection, key, [turn.id for turn in conversation.path()])
            changed = True
    return changed


def _said(turn: Turn) -> Turn:
    """Return the turn without what may differ in the store: its place and its pin."""
    return dataclasses.replace(turn, parent=None, pinned=False, created_at=0)


def _with_own_turn_ids(
    connection: sqlite3.Connection, conversation: Conversation, key: int | None
) -> Conversation:
    """Return the conversation, with other turn ids if another stored conversation has one of them.

    The other ids are made from these, so that the next import finds them again.
    """
    if not _in_another(connection, (turn.id for turn in conversation.turns()), key):
        return conversation

    def renamed(id: str) -> str:
        return hashlib.sha256(f"{conversation.id}\0{id}".encode()).hexdigest()[:32]

    return with_ids(conversation, {turn.id: renamed(turn.id) for turn in conversation.turns()})


def _in_another(connection: sqlite3.Connection, turns: Iterable[str], key: int | None) -> bool:
    for id in turns:
        row = connection.execute("SELECT conversation FROM turn WHERE id = ?", (id,)).fetchone()
        if row is not None and row[0] != key:
            return True
    return False
