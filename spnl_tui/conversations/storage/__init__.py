"""The store: conversations in SQLite."""
