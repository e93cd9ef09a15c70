"""The tables of the store, as migrations: `PRAGMA user_version` counts those that were applied.

A migration that was released is never edited; a change is another migration at the end.

`turn.key` is the time of the turn in milliseconds, or the next free number. So it sorts by time, also for
imported turns, and a filter by date is a range of row ids, which full-text search applies before it reads a
turn. Long columns come last, so that reading the short ones does not read them, too.
"""

from __future__ import annotations

APPLICATION_ID = 0x73706E6C
""""spnl", in the header of the file (https://www.sqlite.org/fileformat.html#application_id)."""

_EVENTS = ("inserted", "deleted", "updated")

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        """
        CREATE TABLE conversation (
            key INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            pinned INTEGER NOT NULL,
            archived INTEGER NOT NULL,
            deleted INTEGER NOT NULL DEFAULT 0,
            title_is_automatic INTEGER NOT NULL,
            title TEXT NOT NULL,
            model TEXT NOT NULL,
            sampling TEXT NOT NULL,
            chosen TEXT NOT NULL,
            system_prompt TEXT NOT NULL
        ) STRICT
        """,
        """
        CREATE INDEX conversation_list
            ON conversation (deleted, archived, pinned DESC, updated_at DESC, key DESC)
        """,
        """
        CREATE TABLE tag (
            conversation INTEGER NOT NULL REFERENCES conversation (key) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            PRIMARY KEY (conversation, position)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX tag_name ON tag (name)",
        """
        CREATE TABLE turn (
            key INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            conversation INTEGER NOT NULL REFERENCES conversation (key) ON DELETE CASCADE,
            parent TEXT,
            role TEXT NOT NULL,
            created_at REAL NOT NULL,
            finish_reason TEXT,
            pinned INTEGER NOT NULL,
            deleted INTEGER NOT NULL DEFAULT 0,
            model TEXT NOT NULL,
            provenance TEXT,
            error TEXT NOT NULL,
            text TEXT NOT NULL,
            reasoning TEXT NOT NULL
        ) STRICT
        """,
        "CREATE INDEX turn_conversation ON turn (conversation, deleted)",
        """
        CREATE INDEX turn_streaming ON turn (key)
            WHERE role = 'assistant' AND finish_reason IS NULL
        """,
        "CREATE INDEX turn_deleted ON turn (key) WHERE deleted = 1",
        "CREATE INDEX conversation_deleted ON conversation (key) WHERE deleted = 1",
        # Search covers the titles, and the turns with the model that wrote or receives them. The texts
        # themselves stay in their tables (https://www.sqlite.org/fts5.html#external_content_tables).
        """
        CREATE VIRTUAL TABLE title_index USING fts5 (
            title, content = 'conversation', content_rowid = 'key',
            tokenize = 'unicode61 remove_diacritics 2'
        )
        """,
        """
        CREATE TRIGGER title_inserted AFTER INSERT ON conversation BEGIN
            INSERT INTO title_index (rowid, title) VALUES (new.key, new.title);
        END
        """,
        """
        CREATE TRIGGER title_deleted AFTER DELETE ON conversation BEGIN
            INSERT INTO title_index (title_index, rowid, title) VALUES ('delete', old.key, old.title);
        END
        """,
        """
        CREATE TRIGGER title_updated AFTER UPDATE OF title ON conversation WHEN old.title <> new.title BEGIN
            INSERT INTO title_index (title_index, rowid, title) VALUES ('delete', old.key, old.title);
            INSERT INTO title_index (rowid, title) VALUES (new.key, new.title);
        END
        """,
        # The user may have typed only the first letters of a word. Without an index of two and three letters,
        # such a search takes half a second in a million turns; longer beginnings match few words.
        """
        CREATE VIRTUAL TABLE turn_index USING fts5 (
            text, model, content = 'turn', content_rowid = 'key',
            tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
        )
        """,
        # A reply is indexed when it ends: indexing it every second while it grows would cost far more.
        """
        CREATE TRIGGER turn_text_inserted AFTER INSERT ON turn
        WHEN new.role <> 'assistant' OR new.finish_reason IS NOT NULL BEGIN
            INSERT INTO turn_index (rowid, text, model) VALUES (new.key, new.text, new.model);
        END
        """,
        """
        CREATE TRIGGER turn_text_deleted AFTER DELETE ON turn
        WHEN old.role <> 'assistant' OR old.finish_reason IS NOT NULL BEGIN
            INSERT INTO turn_index (turn_index, rowid, text, model)
            VALUES ('delete', old.key, old.text, old.model);
        END
        """,
        """
        CREATE TRIGGER turn_text_updated AFTER UPDATE OF text, model, finish_reason ON turn
        WHEN old.text <> new.text OR old.model <> new.model
            OR (old.finish_reason IS NULL) <> (new.finish_reason IS NULL) BEGIN
            INSERT INTO turn_index (turn_index, rowid, text, model)
            SELECT 'delete', old.key, old.text, old.model
            WHERE old.role <> 'assistant' OR old.finish_reason IS NOT NULL;
            INSERT INTO turn_index (rowid, text, model)
            SELECT new.key, new.text, new.model
            WHERE new.role <> 'assistant' OR new.finish_reason IS NOT NULL;
        END
        """,
    ),
    # Content made of parts, and search in any script (folding.py). `parts` is NULL where the content is one
    # text, `searched` where FTS5 can index the text itself.
    (
        "ALTER TABLE turn ADD COLUMN parts TEXT",
        "ALTER TABLE turn ADD COLUMN searched TEXT",
        "ALTER TABLE conversation ADD COLUMN searched TEXT",
        *(f"DROP TRIGGER {index}_{event}" for index in ("title", "turn_text") for event in _EVENTS),
        "DROP TABLE title_index",
        "DROP TABLE turn_index",
        "UPDATE turn SET searched = indexed_copy(text) WHERE indexed_copy(text) IS NOT NULL",
        "UPDATE conversation SET searched = indexed_copy(title) WHERE indexed_copy(title) IS NOT NULL",
        "CREATE VIEW title_words AS SELECT key, coalesce(searched, title) AS title FROM conversation",
        """
        CREATE VIEW turn_words AS SELECT key, coalesce(searched, text) AS text, model FROM turn
        WHERE role <> 'assistant' OR finish_reason IS NOT NULL
        """,
        """
        CREATE VIRTUAL TABLE title_index USING fts5 (
            title, content = 'title_words', content_rowid = 'key',
            tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
        )
        """,
        """
        CREATE VIRTUAL TABLE turn_index USING fts5 (
            text, model, content = 'turn_words', content_rowid = 'key',
            tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
        )
        """,
        """
        CREATE TRIGGER title_inserted AFTER INSERT ON conversation BEGIN
            INSERT INTO title_index (rowid, title) VALUES (new.key, coalesce(new.searched, new.title));
        END
        """,
        """
        CREATE TRIGGER title_deleted AFTER DELETE ON conversation BEGIN
            INSERT INTO title_index (title_index, rowid, title)
            VALUES ('delete', old.key, coalesce(old.searched, old.title));
        END
        """,
        """
        CREATE TRIGGER title_updated AFTER UPDATE OF title, searched ON conversation
        WHEN coalesce(old.searched, old.title) <> coalesce(new.searched, new.title) BEGIN
            INSERT INTO title_index (title_index, rowid, title)
            VALUES ('delete', old.key, coalesce(old.searched, old.title));
            INSERT INTO title_index (rowid, title) VALUES (new.key, coalesce(new.searched, new.title));
        END
        """,
        """
        CREATE TRIGGER turn_text_inserted AFTER INSERT ON turn
        WHEN new.role <> 'assistant' OR new.finish_reason IS NOT NULL BEGIN
            INSERT INTO turn_index (rowid, text, model)
            VALUES (new.key, coalesce(new.searched, new.text), new.model);
        END
        """,
        """
        CREATE TRIGGER turn_text_deleted AFTER DELETE ON turn
        WHEN old.role <> 'assistant' OR old.finish_reason IS NOT NULL BEGIN
            INSERT INTO turn_index (turn_index, rowid, text, model)
            VALUES ('delete', old.key, coalesce(old.searched, old.text), old.model);
        END
        """,
        """
        CREATE TRIGGER turn_text_updated AFTER UPDATE OF text, searched, model, finish_reason ON turn
        WHEN coalesce(old.searched, old.text) <> coalesce(new.searched, new.text) OR old.model <> new.model
            OR (old.finish_reason IS NULL) <> (new.finish_reason IS NULL) BEGIN
            INSERT INTO turn_index (turn_index, rowid, text, model)
            SELECT 'delete', old.key, coalesce(old.searched, old.text), old.model
            WHERE old.role <> 'assistant' OR old.finish_reason IS NOT NULL;
            INSERT INTO turn_index (rowid, text, model)
            SELECT new.key, coalesce(new.searched, new.text), new.model
            WHERE new.role <> 'assistant' OR new.finish_reason IS NOT NULL;
        END
        """,
        "INSERT INTO title_index (title_index) VALUES ('rebuild')",
        "INSERT INTO turn_index (turn_index) VALUES ('rebuild')",
    ),
)
