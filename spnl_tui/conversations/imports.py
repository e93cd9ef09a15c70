"""Conversations from files that others wrote: our own JSON, ChatGPT's export, oterm's export.

Nothing in such a file is trusted. What has the wrong type is left out or refused, texts are kept as they are
(whoever shows them removes control characters, and never parses markup), and work and memory are in
proportion to the size of the file.
"""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path
from typing import Any, NoReturn

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.export import FORMAT, VERSION, conversation_from_plain
from spnl_tui.conversations.records import well_formed
from spnl_tui.conversations.titles import title_of
from spnl_tui.conversations.turn import Provenance, Turn, new_id
from spnl_tui.errors import StoreError
from spnl_tui.models.parts import as_content
from spnl_tui.text import first_line
from spnl_tui.text_files import UnreadableFileError, read_file_bytes

MAX_BYTES = 512 * 1024**2
"""The largest file that is read."""
_OTERM_TURN = re.compile(r"(?:^|\n\n---\n)\*(user|assistant|system)\*\n")
_TITLE = 200


def read_file(path: Path) -> tuple[Conversation, ...]:
    """The conversations in this file. Blocking.

    Raises:
        StoreError: it cannot be read, or is none of the formats.
    """
    try:
        data = read_file_bytes(path, MAX_BYTES)
    except UnreadableFileError as error:
        raise StoreError("Cannot read the file", f"{path}: {error}.", "Check the path.") from error
    return read_text(data.decode("utf-8-sig", "replace"), path.name)


def read_text(text: str, name: str = "The text") -> tuple[Conversation, ...]:
    """The conversations in this text. `name` is what errors call it.

    Raises:
        StoreError: it is none of the formats, or damaged.
    """
    if _OTERM_TURN.match(text):
        return (_from_oterm(text, name),)
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise StoreError("The file cannot be imported", f"{name} is nested too deeply.") from error
    except ValueError as error:
        raise _unknown(f"{name} is no JSON: {error}.") from error
    if isinstance(value, dict) and value.get("format") == FORMAT:
        return _from_own(value, name)
    candidates = value if isinstance(value, list) else [value]
    conversations = [
        _from_chatgpt(item) for item in candidates if isinstance(item, dict) and "mapping" in item
    ]
    found = tuple(conversation for conversation in conversations if len(conversation))
    if not found:
        raise _unknown(f"{name} holds no conversations that spnl-chat knows how to read.")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _unknown(message: str) -> StoreError:
    return StoreError(
        "The file cannot be imported",
        message,
        "Give a JSON export of spnl-chat, ChatGPT's conversations.json, or an export of oterm.",
    )


def _from_own(value: dict[str, Any], name: str) -> tuple[Conversation, ...]:
    version, conversations = value.get("version"), value.get("conversations")
    if version not in range(1, VERSION + 1) or isinstance(version, bool):
        known = isinstance(version, int) and version > VERSION
        raise StoreError(
            "The file cannot be imported",
            f"{name} has {'a newer' if known else 'no valid'} format version.",
            "Update spnl-chat and try again." if known else "",
        )
    if not isinstance(conversations, list):
        raise StoreError("The file cannot be imported", f"{name} has no list of conversations.")
    found = []
    for number, plain in enumerate(conversations, 1):
        try:
            found.append(conversation_from_plain(plain))
        except ValueError as error:
            raise StoreError(
                "The file cannot be imported", f"{name}, conversation {number}: {error}."
            ) from error
    return tuple(found)


# ── ChatGPT ──────────────────────────────────────────────────────────────────────────────────────


def _from_chatgpt(value: dict[str, Any]) -> Conversation:
    """One conversation of ChatGPT's conversations.json.

    Its `mapping` is a tree of nodes by id, each with `parent` and `message`; `current_node` is the end of the
    branch that was shown last. Hidden messages, those of tools and those to tools are left out.
    """
    mapping = _dict(value.get("mapping"))
    nodes = {id: _dict(node) for id, node in mapping.items()}
    created_at = _time(value.get("create_time")) or time.time()
    texts = {id: text for id, node in nodes.items() if (text := _chatgpt_text(_dict(node.get("message"))))}
    ids = {id: new_id() for id in texts}
    parents = _nearest(nodes, texts)
    turns = []
    for number, (id, text) in enumerate(texts.items()):
        message = nodes[id]["message"]
        model = _dict(message.get("metadata")).get("model_slug")
        reply = message["author"]["role"] == "assistant"
        parent = parents[id]
        turns.append(
            Turn(
                id=ids[id],
                parent=ids[parent] if parent is not None else None,
                role="assistant" if reply else "user",
                content=as_content(text),
                finish_reason="stop" if reply else None,
                provenance=Provenance(model=well_formed(model)) if reply and isinstance(model, str) else None,
                # Without a time, the order in the file.
                created_at=_time(message.get("create_time")) or created_at + number / 1000,
            )
        )
    title = value.get("title")
    model = value.get("default_model_slug")
    conversation = Conversation.of(
        Conversation(
            title=first_line(well_formed(title), _TITLE) if isinstance(title, str) else "",
            title_is_automatic=False,
            model=well_formed(model) if isinstance(model, str) else "",
            archived=value.get("is_archived") is True,
            created_at=created_at,
            updated_at=_time(value.get("update_time")) or created_at,
        ),
        turns,
    )
    current = value.get("current_node")
    if isinstance(current, str) and current in nodes:
        shown = current if current in texts else parents[current]
        if shown is not None:
            conversation.select(ids[shown])
    if not conversation.title:
        conversation.title, conversation.title_is_automatic = title_of(conversation), True
    return conversation


def _chatgpt_text(message: dict[str, Any]) -> str:
    """What the user saw of a message; nothing if it is not one of theirs or the model's."""
    if _dict(message.get("author")).get("role") not in ("user", "assistant"):
        return ""
    if message.get("recipient", "all") != "all":
        return ""
    if _dict(message.get("metadata")).get("is_visually_hidden_from_conversation"):
        return ""
    content = _dict(message.get("content"))
    if content.get("content_type") not in ("text", "multimodal_text", "code"):
        return ""
    parts = content.get("parts")
    if not isinstance(parts, list):
        parts = [content.get("text")]
    texts = [
        part if isinstance(part, str) else "[attachment]" for part in parts if isinstance(part, (str, dict))
    ]
    return well_formed("\n\n".join(text for text in texts if text.strip()))


def _nearest(nodes: dict[str, dict[str, Any]], kept: dict[str, str]) -> dict[str, str | None]:
    """The nearest kept node above each node. Rings and unknown parents end the search."""
    above: dict[str, str | None] = {}
    for id in nodes:
        trail: list[str] = []
        at, found = id, None
        while at not in above:
            above[at] = None  # until it is known: a ring ends here
            trail.append(at)
            parent = nodes[at].get("parent")
            if not isinstance(parent, str) or parent not in nodes:
                break
            if parent in kept:
                found = parent
                break
            at = parent
        else:
            found = above[at]
        for node in trail:
            above[node] = found
    return above


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _time(value: Any) -> float | None:
    """Unix seconds, if that is what it is."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e11:
        number = float(value)
        return number if math.isfinite(number) else None
    return None


# ── oterm ────────────────────────────────────────────────────────────────────────────────────────


def _from_oterm(text: str, name: str) -> Conversation:
    """The Markdown that oterm exports: *role*, the text, an empty line and a rule, for each message."""
    pieces = _OTERM_TURN.split(well_formed(text.removesuffix("\n").removesuffix("\n---")))
    conversation = Conversation(title=first_line(Path(name).stem, _TITLE))
    now = time.time()
    turns: list[Turn] = []
    system = []
    for number, (role, said) in enumerate(zip(pieces[1::2], pieces[2::2], strict=True)):
        said = said.strip("\n")
        if role == "system":
            system.append(said)
            continue
        turns.append(
            Turn(
                id=new_id(),
                parent=turns[-1].id if turns else None,
                role="assistant" if role == "assistant" else "user",
                content=as_content(said),
                finish_reason="stop" if role == "assistant" else None,
                created_at=now + number / 1000,
            )
        )
    conversation.system_prompt = "\n\n".join(system)
    return Conversation.of(conversation, turns)
