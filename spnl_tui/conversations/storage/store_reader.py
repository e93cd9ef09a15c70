"""The part of the store that only reads: conversations, the list, search and recent use."""

from __future__ import annotations

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.storage import rows, search
from spnl_tui.conversations.storage.database import Database
from spnl_tui.conversations.storage.rows import Cursor, ListFilter, Page
from spnl_tui.conversations.storage.search import SearchFilter, SearchResult
from spnl_tui.text import well_formed


class StoreReader:
    """Finds and loads conversations. Methods raise StoreError where the file cannot be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, id: str) -> Conversation:
        """Return the conversation with this id."""
        return await self._database.read(lambda connection: rows.load(connection, id))

    async def list(
        self, where: ListFilter | None = None, *, after: Cursor | None = None, limit: int = 50
    ) -> Page:
        """Return a page of the list: pinned conversations first, then the last changed ones."""
        chosen = where or ListFilter()
        return await self._database.read(lambda connection: rows.list_page(connection, chosen, after, limit))

    async def find(self, prefix: str = "") -> tuple[str, ...]:
        """Return at most ten ids that begin with `prefix`, the last changed conversation first."""
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
        """Return every tag in use, in alphabetical order."""
        return await self._column(
            """
            SELECT DISTINCT name FROM tag JOIN conversation ON key = conversation
            WHERE deleted = 0 ORDER BY name
            """
        )

    async def models(self) -> tuple[str, ...]:
        """Return every model that a conversation uses, in alphabetical order."""
        return await self._column(
            "SELECT DISTINCT model FROM conversation WHERE deleted = 0 AND model <> '' ORDER BY model"
        )

    async def models_used_last(self, limit: int = 10) -> tuple[str, ...]:
        """Return the models that replied last, latest first, without those that were only compared."""
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
        """Return the latest prompts of all conversations, the latest last."""
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
        """Search turns and titles, best hits first. See `search.Query.parse` for what can be typed."""
        chosen = where or SearchFilter()
        return await self._database.read(
            lambda connection: search.search(connection, well_formed(typed), chosen, limit)
        )

    async def _column(self, statement: str, *values: object) -> tuple[str, ...]:
        rows = await self._database.read(lambda connection: connection.execute(statement, values).fetchall())
        return tuple(value for (value,) in rows)
