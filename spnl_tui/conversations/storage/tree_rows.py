"""Changes to a stored tree that another program may have changed, too.

Each program shows the tree as it was when it loaded it. So nothing here writes a whole tree back: each
function changes what its caller means and keeps what others have done. A turn that one program continues is
restored if another has deleted it.

These run in the store's threads, inside a transaction that the store has begun.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from spnl_tui.conversations.storage.rows import save_turn
from spnl_tui.conversations.turn import Turn


def restore_path(connection: sqlite3.Connection, conversation: int, model: str, path: Sequence[Turn]) -> None:
    """Undelete the last turn of `path` and the turns above it; insert those that were deleted for good.

    `path` is the branch as the caller knows it, from the first turn down. Where the store has another parent
    for a turn, the store is right: another program has taken out a turn in between.
    """
    known = {turn.id: turn for turn in path}
    at = path[-1].id if path else None
    while at is not None:
        row = connection.execute("SELECT parent, deleted FROM turn WHERE id = ?", (at,)).fetchone()
        if row is None:
            if at not in known:
                return
            save_turn(connection, conversation, model, known[at])
            at = known[at].parent
        elif row[1]:
            connection.execute("UPDATE turn SET deleted = 0 WHERE id = ?", (at,))
            at = row[0]
        else:
            return


def choose_branch(connection: sqlite3.Connection, conversation: int, branch: Sequence[str]) -> None:
    """Make this the active branch, as far as its turns are stored; other choices stay as they are."""
    parents: dict[str, str | None] = {}
    newest: dict[str | None, tuple[float, str]] = {}
    # Most turns of a long conversation have no siblings and need no choice: SQLite passes over them.
    siblings = """
        SELECT id, parent, created_at FROM turn
        WHERE conversation = :key AND deleted = 0 AND coalesce(parent, '') IN (
            SELECT coalesce(parent, '') FROM turn WHERE conversation = :key AND deleted = 0
            GROUP BY 1 HAVING count(*) > 1
        )
    """
    for id, parent, created_at in connection.execute(siblings, {"key": conversation}):
        parents[id] = parent
        newest[parent] = max(newest.get(parent, (created_at, id)), (created_at, id))
    (stored,) = connection.execute(
        "SELECT chosen FROM conversation WHERE key = ?", (conversation,)
    ).fetchone()
    chosen = dict(json.loads(stored))
    for id in branch:
        if id in parents:
            if newest[parents[id]][1] == id:
                chosen.pop(parents[id], None)
            else:
                chosen[parents[id]] = id
    connection.execute(
        "UPDATE conversation SET chosen = ? WHERE key = ?", (json.dumps(list(chosen.items())), conversation)
    )


def delete_branch(connection: sqlite3.Connection, conversation: int, turns: Sequence[str]) -> set[str]:
    """Delete these turns, a whole branch, but none that has a turn below it which the caller does not know.

    Returns the ids of the deleted turns.
    """
    branch = set(turns)
    parents: dict[str, str | None] = dict(
        connection.execute(
            "SELECT id, parent FROM turn WHERE conversation = ? AND deleted = 0", (conversation,)
        ).fetchall()
    )
    kept: set[str] = set()
    for id, parent in parents.items():
        at = None if id in branch else parent
        while at is not None and at in branch and at not in kept:
            kept.add(at)
            at = parents.get(at)
    gone = branch - kept
    connection.executemany("UPDATE turn SET deleted = 1 WHERE id = ?", [(id,) for id in gone])
    return gone


def delete_turn(connection: sqlite3.Connection, conversation: int, turn: str) -> tuple[str, ...]:
    """Delete one turn; the turns below it move to its parent. Returns their ids."""
    row = connection.execute("SELECT parent FROM turn WHERE id = ?", (turn,)).fetchone()
    if row is None:
        return ()
    moved = connection.execute(
        "UPDATE turn SET parent = ? WHERE conversation = ? AND deleted = 0 AND parent = ? RETURNING id",
        (row[0], conversation, turn),
    ).fetchall()
    connection.execute("UPDATE turn SET deleted = 1 WHERE id = ?", (turn,))
    return tuple(id for (id,) in moved)


def restore_turns(
    connection: sqlite3.Connection,
    conversation: int,
    model: str,
    turns: Sequence[Turn],
    moved: Mapping[str, Sequence[str]],
) -> None:
    """Bring back deleted turns, parents first. `moved` has the turns that each of them was the parent of."""
    for turn in turns:
        undelete = "UPDATE turn SET deleted = 0 WHERE id = ? RETURNING parent"
        rows = connection.execute(undelete, (turn.id,)).fetchall()
        if not rows:
            save_turn(connection, conversation, model, turn)
        parent = rows[0][0] if rows else turn.parent
        connection.executemany(
            "UPDATE turn SET parent = ? WHERE id = ? AND parent IS ?",
            [(turn.id, child, parent) for child in moved.get(turn.id, ())],
        )
