"""Reads conversations from other programs' SQLite files, which are opened read-only.

Sources of the tables:
- llm: llm/migrations.py and docs/logging.md (`conversations`, `responses`).
- oterm: src/oterm/store/store.py (`chat`, `message`).
- Ollama's app: app/store/database.go (`chats`, `messages`, `attachments`, `tool_calls`).
- Open WebUI: backend/open_webui/models/chats.py (`chat`, with the conversation as JSON).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.readers.messages import (
    Gathered,
    Said,
    as_list,
    as_text,
    call_part,
    conversation_of,
    image_from_base64,
    image_part,
    result_part,
    role_of,
    text_parts,
    time_of,
)
from spnl_tui.conversations.exchange.readers.objects import find_reader
from spnl_tui.errors import StoreError

SQLITE_MAGIC = b"SQLite format 3\0"
_IMAGES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_Reader: TypeAlias = Callable[[sqlite3.Connection, Gathered], Iterator[tuple[str, Conversation | None]]]


def read_database(path: Path, gathered: Gathered) -> Iterator[tuple[str, Conversation | None]]:
    """Yield each conversation with its title, and None instead of a conversation without content.

    Raises:
        StoreError: the file cannot be read, or is not a known database.
    """
    try:
        # Other programs may have it open. In this mode, SQLite sees their latest changes.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA query_only = ON")
            columns = _columns(connection)
            for needed, reader in _TABLE:
                if all(names <= columns.get(table, set()) for table, names in needed.items()):
                    yield from reader(connection, gathered)
                    return
    except sqlite3.Error as error:
        raise StoreError("The database cannot be read", f"{path}: {error}.", "Check the file.") from error
    raise StoreError(
        "The database cannot be imported",
        f"{path} has no tables that spnl-chat can read.",
        "Databases of llm, oterm, Ollama's app and Open WebUI can be imported.",
    )


def _columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        table: {row[0] for row in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))}
        for table in tables
    }


def _llm(connection: sqlite3.Connection, gathered: Gathered) -> Iterator[tuple[str, Conversation | None]]:
    chats = connection.execute("SELECT id, name, model FROM conversations ORDER BY id")
    for chat in chats:
        said = []
        system: dict[str, None] = {}
        rows = connection.execute(
            "SELECT * FROM responses WHERE conversation_id = ? ORDER BY datetime_utc, id", (chat["id"],)
        )
        for row in rows:
            at = time_of(row["datetime_utc"])
            system |= dict.fromkeys(filter(None, [as_text(row["system"])]))
            said.append(Said("user", text_parts(row["prompt"]), created_at=at))
            model = as_text(row["model"])
            reply = Said("assistant", text_parts(row["response"]), created_at=at, model=model)
            if "reasoning" in row.keys():  # noqa: SIM118  # of a sqlite3.Row, `in` asks the values
                reply.reasoning = as_text(row["reasoning"])
            said.append(reply)
        yield (
            as_text(chat["name"]),
            conversation_of(
                "llm",
                str(chat["id"]),
                said,
                title=chat["name"],
                model=chat["model"],
                system="\n\n".join(system),
            ),
        )


def _oterm(connection: sqlite3.Connection, gathered: Gathered) -> Iterator[tuple[str, Conversation | None]]:
    for chat in connection.execute("SELECT * FROM chat ORDER BY id"):
        said = []
        for row in connection.execute("SELECT * FROM message WHERE chat_id = ? ORDER BY id", (chat["id"],)):
            parts = text_parts(row["text"])
            if "images" in row.keys():  # noqa: SIM118
                for image in as_list(_json(row["images"])):
                    parts = [*image_from_base64(image, gathered), *parts]
            said.append(Said(role_of(row["author"]) or "user", parts))
        model = as_text(chat["model"])
        key = f"{chat['id']} {chat['name']}"  # ids are not unique across stores
        yield (
            as_text(chat["name"]),
            conversation_of(
                "oterm", key, said, title=chat["name"], system=as_text(chat["system"]), model=model
            ),
        )


def _ollama(connection: sqlite3.Connection, gathered: Gathered) -> Iterator[tuple[str, Conversation | None]]:
    for chat in connection.execute("SELECT id, title, created_at FROM chats ORDER BY created_at"):
        said = []
        rows = connection.execute("SELECT * FROM messages WHERE chat_id = ? ORDER BY id", (chat["id"],))
        for row in rows:
            parts = text_parts(row["content"])
            if row["role"] == "tool":
                parts = [result_part("", parts)]
            for file in connection.execute(
                "SELECT filename, data FROM attachments WHERE message_id = ?", (row["id"],)
            ):
                if as_text(file["filename"]).lower().endswith(_IMAGES) and isinstance(file["data"], bytes):
                    parts = [*image_part(file["data"], "", as_text(file["filename"]), gathered), *parts]
                else:
                    gathered.left_out["file"] += 1
            for call in connection.execute(
                "SELECT function_name, function_arguments FROM tool_calls WHERE message_id = ? ORDER BY id",
                (row["id"],),
            ):
                parts.append(call_part("", call["function_name"], as_text(call["function_arguments"])))
            said.append(
                Said(
                    role_of(row["role"]) or "user",
                    parts,
                    as_text(row["thinking"]),
                    time_of(row["created_at"]),
                    as_text(row["model_name"]),
                )
            )
        yield (
            as_text(chat["title"]),
            conversation_of(
                "ollama",
                str(chat["id"]),
                said,
                title=chat["title"] or None,
                created_at=time_of(chat["created_at"]),
                model=next((each.model for each in reversed(said) if each.model), None),
            ),
        )


def _open_webui(
    connection: sqlite3.Connection, gathered: Gathered
) -> Iterator[tuple[str, Conversation | None]]:
    for row in connection.execute("SELECT * FROM chat ORDER BY created_at"):
        item: dict[str, Any] = {**dict(row), "chat": _json(row["chat"]), "archived": bool(row["archived"])}
        item["meta"] = _json(item.get("meta"))
        reader = find_reader(item)
        title = as_text(row["title"])
        yield title, reader(item, title, gathered) if reader else None


def _json(text: object) -> Any:
    try:
        return json.loads(text) if isinstance(text, (str, bytes)) else text
    except (ValueError, RecursionError):
        return None


_TABLE: tuple[tuple[dict[str, set[str]], _Reader], ...] = (
    (
        {
            "conversations": {"id", "name", "model"},
            "responses": {"conversation_id", "prompt", "response", "system", "model", "datetime_utc"},
        },
        _llm,
    ),
    ({"chat": {"id", "name", "model", "system"}, "message": {"chat_id", "author", "text"}}, _oterm),
    (
        {
            "chats": {"id", "title", "created_at"},
            "messages": {"chat_id", "role", "content", "thinking", "model_name"},
            "attachments": {"message_id", "filename", "data"},
            "tool_calls": {"message_id", "function_name", "function_arguments"},
        },
        _ollama,
    ),
    ({"chat": {"id", "title", "chat", "archived", "created_at", "updated_at"}}, _open_webui),
)
"""The tables and columns that identify each kind of database, and its reader."""
