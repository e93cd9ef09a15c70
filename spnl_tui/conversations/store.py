"""Where conversations are kept: one SQLite file in the data directory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from spnl_tui.conversations import rows, search
from spnl_tui.conversations.conversation import Conversation, Deletion
from spnl_tui.conversations.database import Database
from spnl_tui.conversations.records import well_formed
from spnl_tui.conversations.rows import Cursor, ListFilter, Page
from spnl_tui.conversations.search import SearchFilter, SearchResult
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import StoreError

INTERRUPTED = "The program ended before the reply did."
"""The error of a reply whose program was killed."""


class Store:
    """Keeps conversations. What a method has saved when it returns survives a kill and a power cut.

    Methods raise StoreError where the file cannot be read or written, or a conversation is not there.
    Deleted things can be restored until the store is closed.
    """

    def __init__(self, database: Database, problem: StoreError | None) -> None:
        self.problem = problem
        """What was wrong with the store that was found, and where it is now. None if all was well."""
        self._database = database
        self._deleted_turns: set[str] = set()
        self._deleted_conversations: set[str] = set()

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Open the store in this file, or begin it. See `problem` for one that had to be set aside."""
        return cls(*await asyncio.to_thread(Database.open, path, _clear_up))

    async def close(self) -> None:
        """Forget for good what was deleted, and close the file."""
        conversations, self._deleted_conversations = [(id,) for id in self._deleted_conversations], set()
        turns, self._deleted_turns = [(id,) for id in self._deleted_turns], set()

        def purge(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM turn WHERE id = ? AND deleted = 1", turns)
            connection.executemany("DELETE FROM conversation WHERE id = ? AND deleted = 1", conversations)

        try:
            if turns or conversations:
                await self._database.write(purge)
        finally:
            await self._database.close()

    # ── saving ───────────────────────────────────────────────────────────────────────────────────

    async def add(self, conversation: Conversation) -> Conversation:
        """Save a conversation with all its turns: a new one, a fork or an import.

        Returns it, or a copy with other ids if one of its own is taken in this store.
        """

        def save(connection: sqlite3.Connection) -> Conversation:
            added = conversation
            if rows.taken(connection, conversation.id, [turn.id for turn in conversation.turns()]):
                added = conversation.copy()
            key = rows.save_details(connection, rows.details_row(added), added.tags)
            last = 0
            for turn in added.turns():
                last = rows.save_turn(connection, key, added.model, turn, last)
            return added

        return await self._database.write(save)

    async def save_details(self, conversation: Conversation) -> None:
        """Save everything of a conversation but its turns."""
        details, tags = rows.details_row(conversation), conversation.tags
        await self._database.write(lambda connection: rows.save_details(connection, details, tags))

    async def save_turn(self, conversation: Conversation, turn: Turn) -> None:
        """Save a turn, new or changed, which branch is the active one, and the model that is talked to.

        Of a conversation that is stored already nothing else is saved, so that what another program has
        changed (its title, say) stays. One that is not, or no longer, stored is saved whole; one that another
        program has deleted is restored, since somebody goes on with it.
        """
        details, tags, model = rows.details_row(conversation), conversation.tags, conversation.model
        turns = tuple(conversation.turns())
        # A reply may stream on in what the user has just deleted here: that does not restore it.
        deleted_here = int(conversation.id in self._deleted_conversations)

        def save(connection: sqlite3.Connection) -> None:
            stored = connection.execute(
                """
                UPDATE conversation
                SET chosen = :chosen, updated_at = max(updated_at, :updated_at),
                    model = CASE :model WHEN '' THEN model ELSE :model END,
                    deleted = deleted * :deleted_here
                WHERE id = :id RETURNING key
                """,
                {**details, "deleted_here": deleted_here},
            ).fetchall()
            if stored:
                rows.save_turn(connection, stored[0][0], model, turn)
                return
            key = rows.save_details(connection, details, tags)
            for each in turns:
                rows.save_turn(connection, key, model, each)

        await self._database.write(save)

    async def rename(self, id: str, title: str, *, automatic: bool = False) -> None:
        """Give a conversation a title. An automatic one never replaces one that the user gave."""
        await self._change(
            """
            UPDATE conversation SET title = ?1, title_is_automatic = ?2
            WHERE id = ?3 AND title_is_automatic >= ?2
            """,
            well_formed(title),
            int(automatic),
            id,
        )

    async def set_pinned(self, id: str, pinned: bool) -> None:
        """Keep a conversation at the top of the list, or no longer."""
        await self._change("UPDATE conversation SET pinned = ? WHERE id = ?", int(pinned), id)

    async def set_archived(self, id: str, archived: bool) -> None:
        """Take a conversation out of the list, or back."""
        await self._change("UPDATE conversation SET archived = ? WHERE id = ?", int(archived), id)

    async def set_tags(self, id: str, tags: Iterable[str]) -> None:
        """Give a conversation these tags and no others."""
        names = tuple(tags)
        await self._database.write(lambda c: rows.save_tags(c, rows.key_of(c, id), names))

    # ── deleting ─────────────────────────────────────────────────────────────────────────────────

    async def delete_conversation(self, id: str) -> None:
        """Delete a conversation, until `restore_conversation` or for good when the store is closed."""
        await self._change("UPDATE conversation SET deleted = 1 WHERE id = ?", id)
        self._deleted_conversations.add(id)

    async def restore_conversation(self, id: str) -> None:
        """Undo the deletion of a conversation."""
        await self._change("UPDATE conversation SET deleted = 0 WHERE id = ?", id)
        self._deleted_conversations.discard(id)

    async def save_deletion(self, conversation: Conversation, deletion: Deletion) -> None:
        """Save that turns were deleted from `conversation`, by its own methods."""
        parent = deletion.removed[0].parent
        await self._save_deleted(conversation, deletion, 1, [(parent, id) for id, _ in deletion.reattached])
        self._deleted_turns |= {turn.id for turn in deletion.removed}

    async def save_restoration(self, conversation: Conversation, deletion: Deletion) -> None:
        """Save that `conversation` was restored from this deletion."""
        await self._save_deleted(conversation, deletion, 0, [(p, id) for id, p in deletion.reattached])
        self._deleted_turns -= {turn.id for turn in deletion.removed}

    # ── finding ──────────────────────────────────────────────────────────────────────────────────

    async def load(self, id: str) -> Conversation:
        """The conversation with this id."""
        return await self._database.read(lambda connection: rows.load(connection, id))

    async def list(
        self, where: ListFilter | None = None, *, after: Cursor | None = None, limit: int = 50
    ) -> Page:
        """A page of the list: pinned conversations first, then those that were changed last."""
        chosen = where or ListFilter()
        return await self._database.read(lambda connection: rows.list_page(connection, chosen, after, limit))

    async def find(self, prefix: str = "") -> tuple[str, ...]:
        """The ids that begin with `prefix`, of at most ten conversations, the last one changed first."""
        found = await self._database.read(
            lambda connection: connection.execute(
                """
                SELECT id FROM conversation WHERE deleted = 0 AND substr(id, 1, length(:prefix)) = :prefix
                ORDER BY updated_at DESC LIMIT 10
                """,
                {"prefix": well_formed(prefix)},
            ).fetchall()
        )
        return tuple(id for (id,) in found)

    async def tags(self) -> tuple[str, ...]:
        """Every tag in use, in the order of the alphabet."""
        return await self._column(
            """
            SELECT DISTINCT name FROM tag JOIN conversation ON key = conversation
            WHERE deleted = 0 ORDER BY name
            """
        )

    async def models(self) -> tuple[str, ...]:
        """Every model that a conversation is set to, in the order of the alphabet."""
        return await self._column(
            "SELECT DISTINCT model FROM conversation WHERE deleted = 0 AND model <> '' ORDER BY model"
        )

    async def models_used_last(self, limit: int = 10) -> tuple[str, ...]:
        """The models that replied last, the latest first; not one that was only compared with."""
        # CROSS JOIN: from the newest turn down, however many there are.
        latest = await self._column(
            """
            SELECT t.model FROM turn t CROSS JOIN conversation c ON c.key = t.conversation
            WHERE t.role = 'assistant' AND t.text <> '' AND t.model <> '' AND t.deleted = 0 AND c.deleted = 0
            AND (t.model = c.model OR NOT EXISTS (
                SELECT 1 FROM turn other WHERE other.conversation = c.key
                AND other.role = 'assistant' AND other.text <> '' AND other.model = c.model
            ))
            ORDER BY t.key DESC LIMIT 200
            """
        )
        return tuple(dict.fromkeys(latest))[:limit]

    async def prompts(self, limit: int = 200) -> tuple[str, ...]:
        """What the user wrote last, whatever the conversation, the latest last."""
        latest = await self._column(
            """
            SELECT turn.text FROM turn CROSS JOIN conversation ON conversation.key = turn.conversation
            WHERE turn.role = 'user' AND turn.deleted = 0 AND conversation.deleted = 0
            ORDER BY turn.key DESC LIMIT ?
            """,
            limit,
        )
        return latest[::-1]

    async def search(self, typed: str, where: SearchFilter | None = None, *, limit: int = 50) -> SearchResult:
        """Full-text search over turns and titles, best hits first. See `search.match_expression`."""
        chosen = where or SearchFilter()
        return await self._database.read(
            lambda connection: search.search(connection, well_formed(typed), chosen, limit)
        )

    # ── help ─────────────────────────────────────────────────────────────────────────────────────

    async def _change(self, statement: str, *values: object) -> None:
        await self._database.write(lambda connection: connection.execute(statement, values).fetchall())

    async def _column(self, statement: str, *values: object) -> tuple[str, ...]:
        rows = await self._database.read(lambda connection: connection.execute(statement, values).fetchall())
        return tuple(value for (value,) in rows)

    async def _save_deleted(
        self,
        conversation: Conversation,
        deletion: Deletion,
        deleted: int,
        parents: Iterable[tuple[str | None, str]],
    ) -> None:
        details = rows.details_row(conversation)

        def save(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE turn SET deleted = ? WHERE id = ?", [(deleted, turn.id) for turn in deletion.removed]
            )
            connection.executemany("UPDATE turn SET parent = ? WHERE id = ?", parents)
            connection.execute(
                "UPDATE conversation SET chosen = :chosen, updated_at = :updated_at WHERE id = :id", details
            )

        await self._database.write(save)


def _clear_up(connection: sqlite3.Connection) -> None:
    """End the replies, and forget what was deleted, of programs that were killed."""
    connection.execute(
        """
        UPDATE turn SET finish_reason = 'failed', error = ?
        WHERE role = 'assistant' AND finish_reason IS NULL
        """,
        (INTERRUPTED,),
    )
    connection.execute("DELETE FROM turn WHERE deleted = 1")
    connection.execute("DELETE FROM conversation WHERE deleted = 1")
