"""Conversations as other programs keep or export them: for each format an ordinary, an odd and a hostile one.

Made by hand after the sources that spnl_tui/conversations/exchange/readers names. Each source is a function
that writes it below a folder and returns its path.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.chatgpt import exported, message

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
DATA_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
Writer = Callable[[Path], Path]


def text(name: str, content: str) -> Writer:
    def write(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", errors="surrogatepass")
        return path

    return write


def as_json(name: str, value: Any) -> Writer:
    return text(name, json.dumps(value))


def lines(name: str, *values: Any) -> Writer:
    return text(name, "\n".join(json.dumps(value) for value in values))


def zipped(name: str, members: dict[str, Any]) -> Writer:
    def write(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member, value in members.items():
                archive.writestr(member, value if isinstance(value, str) else json.dumps(value))
        return folder / name

    return write


def folder_of(name: str, *writers: Writer) -> Writer:
    def write(folder: Path) -> Path:
        for each in writers:
            each(folder / name)
        return folder / name

    return write


def database(name: str, *statements: str | tuple[str, tuple[Any, ...]]) -> Writer:
    def write(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(folder / name)) as connection:
            for statement in statements:
                connection.execute(*((statement,) if isinstance(statement, str) else statement))
            connection.commit()
        return folder / name

    return write


# ── Claude ───────────────────────────────────────────────────────────────────────────────────────


def claude(*messages: Any, **more: Any) -> dict[str, Any]:
    return {
        "uuid": "c1",
        "name": "Tides",
        "created_at": "2025-03-01T10:00:00.000000Z",
        "updated_at": "2025-03-01T11:00:00.000000Z",
        "account": {"uuid": "a"},
        "chat_messages": list(messages),
        **more,
    }


def sent(number: int, sender: str, words: str, **more: Any) -> dict[str, Any]:
    return {
        "uuid": f"m{number}",
        "sender": sender,
        "text": words,
        "content": [{"type": "text", "text": words}],
        "created_at": f"2025-03-01T10:00:0{number}Z",
        "attachments": [],
        "files": [],
        **more,
    }


_CLAUDE_TREE = claude(
    sent(0, "human", "Hello", parent_message_uuid="00000000-0000-4000-8000-000000000000"),
    sent(1, "assistant", "First", parent_message_uuid="m0"),
    sent(2, "assistant", "Second", parent_message_uuid="m0"),
    current_leaf_message_uuid="m2",
)
_CLAUDE_RICH = claude(
    sent(0, "human", "Why?", attachments=[{"file_name": "a.txt", "extracted_content": "Data"}]),
    sent(
        1,
        "assistant",
        "The moon.",
        content=[
            {"type": "thinking", "thinking": "Think."},
            {"type": "tool_use", "id": "t", "name": "search", "input": {"q": "tides"}},
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "Found."}]},
            {"type": "text", "text": "The moon."},
        ],
        files=[{"file_name": "x.pdf"}],
    ),
)

# ── Open WebUI ───────────────────────────────────────────────────────────────────────────────────


def open_webui(messages: dict[str, Any], current: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "w1",
        "title": "Web",
        "created_at": 1_700_000_000,
        "updated_at": 1_700_000_100,
        "archived": False,
        "meta": {"tags": ["work"]},
        "chat": {
            "title": "Web",
            "models": ["llama3.2:1b"],
            "params": {"system": "Be brief."},
            "history": {"messages": messages, "currentId": current},
        },
        **more,
    }


_WEBUI = open_webui(
    {
        "a": {"id": "a", "parentId": None, "childrenIds": ["b"], "role": "user", "content": "Hi"},
        "b": {"id": "b", "parentId": "a", "role": "assistant", "content": "Hello", "model": "llama3.2:1b"},
        "c": {"id": "c", "parentId": "a", "role": "assistant", "content": "Hey", "model": "other"},
    },
    "c",
)

# ── LM Studio ────────────────────────────────────────────────────────────────────────────────────

_LM_USER = {
    "versions": [{"type": "singleStep", "role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    "currentlySelected": 0,
}
_LM_REPLY = {
    "type": "multiStep",
    "role": "assistant",
    "senderInfo": {"senderName": "qwen"},
    "steps": [
        {"type": "contentBlock", "style": {"type": "thinking"}, "content": [{"type": "text", "text": "Hm."}]},
        {"type": "contentBlock", "content": [{"type": "text", "text": "Hello"}]},
        {"type": "debugInfoBlock", "debugInfo": "x"},
    ],
}
_LM_OTHER = {**_LM_REPLY, "steps": [{"type": "contentBlock", "content": [{"type": "text", "text": "Hey"}]}]}


def lm_studio(*messages: Any, **more: Any) -> dict[str, Any]:
    return {
        "name": "Studio",
        "createdAt": 1_700_000_000_000,
        "systemPrompt": "Be kind.",
        "messages": list(messages),
        **more,
    }


# ── the databases ────────────────────────────────────────────────────────────────────────────────

_LLM = (
    "CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT)",
    "CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT, prompt_json TEXT,"
    " options_json TEXT, response TEXT, response_json TEXT, conversation_id TEXT, duration_ms INTEGER,"
    " datetime_utc TEXT)",
)
_LLM_RESPONSE = (
    "INSERT INTO responses (id, model, prompt, system, response, conversation_id, datetime_utc)"
    " VALUES (?, 'gpt', ?, 'Be brief.', ?, 'c1', ?)"
)
_OTERM = (
    "CREATE TABLE chat (id INTEGER PRIMARY KEY, name TEXT, model TEXT NOT NULL, system TEXT, format TEXT,"
    " parameters TEXT, keep_alive INTEGER, tools TEXT)",
    "CREATE TABLE message (id INTEGER PRIMARY KEY, chat_id INTEGER, author TEXT, text TEXT, images TEXT)",
    "INSERT INTO chat VALUES (1, 'Term', 'llama3', 'Be brief.', '', '{}', 5, '[]')",
)
_OLLAMA = (
    "CREATE TABLE chats (id TEXT PRIMARY KEY, title TEXT, created_at TIMESTAMP, browser_state TEXT)",
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, chat_id TEXT, role TEXT, content TEXT, thinking TEXT,"
    " model_name TEXT, created_at TIMESTAMP)",
    "CREATE TABLE tool_calls (id INTEGER PRIMARY KEY, message_id INTEGER, type TEXT, function_name TEXT,"
    " function_arguments TEXT, function_result TEXT)",
    "CREATE TABLE attachments (id INTEGER PRIMARY KEY, message_id INTEGER, filename TEXT, data BLOB)",
    "INSERT INTO chats VALUES ('o1', 'Local', '2025-08-01 10:00:00', NULL)",
    "INSERT INTO messages VALUES (1, 'o1', 'user', 'Look', '', NULL, '2025-08-01 10:00:01')",
    "INSERT INTO messages VALUES (2, 'o1', 'assistant', 'Seen', 'Hm.', 'gemma3', '2025-08-01 10:00:02')",
    ("INSERT INTO attachments VALUES (1, 1, 'p.png', ?)", (PNG,)),
)

_WEBUI_TABLE = (
    "CREATE TABLE chat (id TEXT, title TEXT, chat JSON, archived INTEGER, created_at INTEGER,"
    " updated_at INTEGER)"
)
_GEMINI_CHAT = {"details": [{"url": "https://gemini.google.com/app/ab12"}]}
_REMOTE_IMAGE = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
_USER, _REPLY = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
_TALK = {"id": "t1", "title": "Talk", "messages": [{"role": "system", "content": "Be brief."}, _USER, _REPLY]}
_CALLS = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": DATA_URL}}],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "42"},
    {"role": "assistant", "content": "It is 42."},
]
_ACTIVITY = {
    "header": "Gemini Apps",
    "title": "Prompted Why is the sky blue?",
    "time": "2025-05-01T08:00:00.000Z",
    "products": ["Gemini Apps"],
    "safeHtmlItem": [{"html": "<p>It <b>scatters</b>.</p><ul><li>light</li></ul>"}],
}
_CHATGPT = exported(message("user", "Hi"), message("assistant", "Hello"), conversation_id="g1")
_DEEP = "[" * 100_000 + "]" * 100_000
_BIDI = "\u202eevil\x1b[31m [bold]x[/bold] \ud800"

FORMATS: dict[str, tuple[tuple[Writer, list[str]], tuple[Writer, list[str]], Writer]] = {
    # name: (ordinary, what its branch says), (odd, what its branch says), hostile
    "claude": (
        (
            as_json("conversations.json", [claude(sent(0, "human", "Hi"), sent(1, "assistant", "Hello"))]),
            ["Hi", "Hello"],
        ),
        (as_json("c.json", [_CLAUDE_TREE]), ["Hello", "Second"]),
        as_json(
            "c.json", [claude({"sender": 5, "content": {"a": [[]]}}, 7, sent(1, "human", _BIDI), uuid=[])]
        ),
    ),
    "claude with tools": (
        (as_json("c.json", _CLAUDE_RICH), ["Why?", "The moon."]),
        (
            zipped("data.zip", {"conversations.json": [_CLAUDE_RICH], "users.json": [{}]}),
            ["Why?", "The moon."],
        ),
        zipped("up.zip", {"../../evil.json": [claude(sent(0, "human", "Hi"))], "x.json": _DEEP}),
    ),
    "chatgpt": (
        (as_json("conversations.json", [_CHATGPT]), ["Hi", "Hello"]),
        (
            zipped("export.zip", {"conversations-000.json": [_CHATGPT], "chat.html": "<", "user.json": {}}),
            ["Hi", "Hello"],
        ),
        folder_of(
            "export", as_json("conversations-000.json", [_CHATGPT]), text("conversations-001.json", "[{")
        ),
    ),
    "gemini": (
        (as_json("MyActivity.json", [_ACTIVITY]), ["Why is the sky blue?", "It **scatters**.\n\n* light"]),
        (
            as_json(
                "a.json",
                [
                    {**_ACTIVITY, "title": "Prompted More", "time": "2025-05-01T09:00:00Z", **_GEMINI_CHAT},
                    {**_ACTIVITY, **_GEMINI_CHAT},
                    {**_ACTIVITY, "title": "Used a feature", "safeHtmlItem": None},
                ],
            ),
            ["Why is the sky blue?", "It **scatters**.\n\n* light", "More", "It **scatters**.\n\n* light"],
        ),
        as_json(
            "a.json",
            [{**_ACTIVITY, "safeHtmlItem": [{"html": "<script>alert(1)</script><p>" + "<b>" * 400}]}],
        ),
    ),
    "open webui": (
        (as_json("chats.json", [_WEBUI]), ["Hi", "Hey"]),
        (
            as_json(
                "chats.json",
                [
                    open_webui(
                        {
                            "a": {
                                "role": "user",
                                "content": "See",
                                "files": [{"type": "image", "url": DATA_URL}],
                            }
                        },
                        "a",
                    )
                ],
            ),
            ["See"],
        ),
        as_json(
            "chats.json",
            [
                open_webui(
                    {
                        "a": {"parentId": "b", "role": "user", "content": "x"},
                        "b": {"parentId": "a", "content": "y"},
                    },
                    "nowhere",
                )
            ],
        ),
    ),
    "lm studio": (
        (
            as_json(
                "1700.conversation.json",
                lm_studio(_LM_USER, {"versions": [_LM_REPLY], "currentlySelected": 0}),
            ),
            ["Hi", "Hello"],
        ),
        (
            folder_of(
                "conversations",
                as_json(
                    "sub/1.json",
                    lm_studio(
                        _LM_USER, {"versions": [_LM_OTHER, _LM_REPLY], "currentlySelected": 1}, _LM_USER
                    ),
                ),
            ),
            ["Hi", "Hello", "Hi"],
        ),
        as_json("1.json", lm_studio({"versions": [1, {"steps": [None]}], "currentlySelected": -9}, _LM_USER)),
    ),
    "openai messages": (
        (as_json("m.json", _TALK), ["Hi", "Hello"]),
        (as_json("m.json", {"messages": _CALLS}), ["See", "It is 42."]),
        as_json(
            "m.json",
            {"messages": [{"role": "user", "content": [_REMOTE_IMAGE, 5, {"type": "text", "text": _BIDI}]}]},
        ),
    ),
    "openai lines": (
        (lines("m.jsonl", _TALK, {**_TALK, "id": "t2"}), ["Hi", "Hello"]),
        (lines("bare.jsonl", _USER, _REPLY, _USER), ["Hi", "Hello", "Hi"]),
        text("m.jsonl", f"{json.dumps(_TALK)}\n{{broken\n\n[1]\n"),
    ),
    "sharegpt": (
        (
            as_json(
                "s.json",
                [
                    {
                        "id": "s1",
                        "conversations": [
                            {"from": "human", "value": "Hi"},
                            {"from": "gpt", "value": "Hello"},
                        ],
                    }
                ],
            ),
            ["Hi", "Hello"],
        ),
        (
            as_json(
                "s.json",
                {
                    "system": "Be brief.",
                    "conversations": [
                        {"from": "human", "value": "Hi"},
                        {"from": "function_call", "value": "{}"},
                        {"from": "observation", "value": "1"},
                        {"from": "gpt", "value": "One"},
                    ],
                },
            ),
            ["Hi", "One"],
        ),
        as_json("s.json", [{"conversations": [{"from": None, "value": {}}, {"from": "gpt", "value": "x"}]}]),
    ),
    "aichat": (
        (
            text(
                "chat.yaml",
                "model: m\nmessages:\n- role: user\n  content: Hi\n- role: assistant\n  content: Hello\n",
            ),
            ["Hi", "Hello"],
        ),
        (
            text(
                "chat.yaml",
                "messages:\n- role: user\n  content:\n  - type: text\n    text: |\n      One\n      two\n",
            ),
            ["One\ntwo\n"],
        ),
        text("chat.yaml", "a: &a [x,x]\nb: &b [*a,*a]\nmessages:\n- role: user\n  content: *b\n"),
    ),
    "parllama": (
        (
            as_json(
                "p.json",
                {"id": "p1", "name": "Par", "llm_config": {"model_name": "m"}, "messages": [_USER, _REPLY]},
            ),
            ["Hi", "Hello"],
        ),
        (
            as_json(
                "p.json",
                {
                    "session_id": "p2",
                    "session_name": "Par",
                    "messages": [{**_USER, "images": [DATA_URL]}, _REPLY],
                },
            ),
            ["Hi", "Hello"],
        ),
        as_json(
            "p.json",
            {
                "id": 5,
                "messages": [{"role": "user", "content": "Hi", "images": "x", "tool_calls": {"a": 1}}, None],
            },
        ),
    ),
    "markdown": (
        (
            text("Notes.md", "---\ntitle: Tides\n---\n\n## User\n\nHi\n\n## Assistant (qwen)\n\nHello\n"),
            ["Hi", "Hello"],
        ),
        (
            text("n.md", "# Chat\n\n**You:**\n\nHi\n\n**ChatGPT:**\n\n```\n## User\n```\n\nDone\n"),
            ["Hi", "```\n## User\n```\n\nDone"],
        ),
        text("n.md", "---\nid: [1\n---\n## User\n\n" + _BIDI.replace("\ud800", "") + "\n" + "`" * 50_000),
    ),
    "llm": (
        (
            database(
                "logs.db",
                *_LLM,
                "INSERT INTO conversations VALUES ('c1', 'Logged', 'gpt')",
                (_LLM_RESPONSE, ("r1", "Hi", "Hello", "2025-01-01T10:00:00")),
            ),
            ["Hi", "Hello"],
        ),
        (
            database(
                "x.bin",
                *_LLM,
                "INSERT INTO conversations VALUES ('c1', NULL, NULL)",
                (_LLM_RESPONSE, ("r2", "More", "Yes", "2025-01-01T11:00:00")),
                (_LLM_RESPONSE, ("r1", "Hi", "Hello", "2025-01-01T10:00:00")),
            ),
            ["Hi", "Hello", "More", "Yes"],
        ),
        database(
            "logs.db",
            *_LLM,
            "INSERT INTO conversations VALUES ('c1', X'FF', 5)",
            (_LLM_RESPONSE, (1, b"\xff", "x", "no date")),
        ),
    ),
    "oterm": (
        (
            database(
                "store.db",
                *_OTERM,
                "INSERT INTO message VALUES (1, 1, 'user', 'Hi', '[]')",
                "INSERT INTO message VALUES (2, 1, 'assistant', 'Hello', '[]')",
            ),
            ["Hi", "Hello"],
        ),
        (
            database(
                "store.db",
                *_OTERM,
                (
                    "INSERT INTO message VALUES (1, 1, 'me', 'See', ?)",
                    (json.dumps([base64.b64encode(PNG).decode()]),),
                ),
            ),
            ["See"],
        ),
        database("store.db", *_OTERM, "INSERT INTO message VALUES (1, 1, 'user', 'Hi', '{broken')"),
    ),
    "ollama": (
        (database("db.sqlite", *_OLLAMA), ["Look", "Seen"]),
        (
            database(
                "db.sqlite",
                *_OLLAMA,
                "INSERT INTO messages VALUES (3, 'o1', 'tool', '42', '', NULL, NULL)",
                "INSERT INTO tool_calls VALUES (1, 2, 'function', 'f', '{}', NULL)",
            ),
            ["Look", "Seen"],
        ),
        database("db.sqlite", *_OLLAMA, ("UPDATE messages SET content = ?", (b"\xff\xfe",))),
    ),
    "open webui database": (
        (
            database(
                "webui.db",
                _WEBUI_TABLE,
                (
                    "INSERT INTO chat VALUES ('w9', 'Web', ?, 0, 1700000000, 1700000000)",
                    (json.dumps(_WEBUI["chat"]),),
                ),
            ),
            ["Hi", "Hey"],
        ),
        (
            database(
                "webui.db",
                _WEBUI_TABLE,
                "INSERT INTO chat VALUES ('w8', 'Empty', '{}', 0, 0, 0)",
                (
                    "INSERT INTO chat VALUES ('w9', 'Web', ?, 0, 1700000000, 1700000000)",
                    (json.dumps(_WEBUI["chat"]),),
                ),
            ),
            ["Hi", "Hey"],
        ),
        database("webui.db", _WEBUI_TABLE, ("INSERT INTO chat VALUES ('w9', 'Web', ?, 0, 0, 0)", (_DEEP,))),
    ),
}
