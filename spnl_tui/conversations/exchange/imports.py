"""Conversations from files that others wrote: our own JSON, ChatGPT's export, oterm's export.

Nothing in such a file is trusted. What has the wrong type is left out or refused, texts are kept as they are
(callers that show them remove control characters and never parse markup), and work and memory are in
proportion to the size of the file.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.chatgpt import conversation_from_chatgpt
from spnl_tui.conversations.exchange.export import FORMAT, VERSION, conversation_from_plain
from spnl_tui.conversations.exchange.image_files import images_from_plain, images_of
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import StoreError
from spnl_tui.models.parts import as_content
from spnl_tui.text import first_line, well_formed
from spnl_tui.text_files import UnreadableFileError, read_file_bytes

MAX_BYTES = 512 * 1024**2
"""The largest file that is read."""
_OTERM_TURN = re.compile(r"(?:^|\n\n---\n)\*(user|assistant|system)\*\n")
_TITLE = 200


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something in a file that was not imported."""

    title: str
    reason: str
    """A clause: "it is damaged"."""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What was found in a file."""

    conversations: tuple[Conversation, ...]
    skipped: tuple[Skipped, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    """How many attachments of each kind the file names without their content."""
    images: dict[str, bytes] = field(default_factory=dict)
    """The images that it brings, by their SHA-256. They were not decoded yet."""


def read_file(path: Path) -> tuple[Conversation, ...]:
    """Return the conversations in this file; see `read_export`."""
    return read_export(path).conversations


def read_export(path: Path, on_read: Callable[[int, int], None] = lambda done, total: None) -> ReadFile:
    """Read the conversations in this file. Blocking.

    `on_read` receives how many of how many were read; what it raises ends the reading.

    Raises:
        StoreError: it cannot be read, or is none of the formats.
    """
    try:
        data = read_file_bytes(path, MAX_BYTES)
    except UnreadableFileError as error:
        raise StoreError("Cannot read the file", f"{path}: {error}.", "Check the path.") from error
    return _parse(data.decode("utf-8-sig", "replace"), path.name, on_read)


def read_text(text: str, name: str = "The text") -> tuple[Conversation, ...]:
    """Return the conversations in this text. `name` is what errors call it.

    Raises:
        StoreError: it is none of the formats, or damaged.
    """
    return _parse(text, name, lambda done, total: None).conversations


def _parse(text: str, name: str, on_read: Callable[[int, int], None]) -> ReadFile:
    if _OTERM_TURN.match(text):
        return ReadFile((_from_oterm(text, name),))
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise StoreError("The file cannot be imported", f"{name} is nested too deeply.") from error
    except ValueError as error:
        raise _unknown(f"{name} is not JSON: {error}.") from error
    if isinstance(value, dict) and value.get("format") == FORMAT:
        own = _from_own(value, name, on_read)
        lost: Counter[str] = Counter()
        wanted = images_of(turn for conversation in own for turn in conversation.turns())
        return ReadFile(own, (), lost, images_from_plain(value.get("images"), wanted, lost))
    items = value if isinstance(value, list) else [value]
    if not any(isinstance(item, dict) and "mapping" in item for item in items):
        raise _unknown(f"{name} holds no conversations that spnl-chat knows how to read.")
    conversations: list[Conversation] = []
    skipped: list[Skipped] = []
    left_out: Counter[str] = Counter()
    for number, item in enumerate(items, 1):
        on_read(number, len(items))
        if not isinstance(item, dict) or "mapping" not in item:
            skipped.append(Skipped(f"Item {number:,}", "it is not a conversation"))
            continue
        conversation = conversation_from_chatgpt(item, left_out)
        if len(conversation):
            conversations.append(conversation)
        else:
            title = item.get("title")
            shown = first_line(well_formed(title), 60) if isinstance(title, str) else ""
            skipped.append(Skipped(shown or f"Item {number:,}", "no message in it holds words"))
    if not conversations:
        raise _unknown(f"{name} holds no conversations with words: {len(skipped):,} are empty or damaged.")
    return ReadFile(tuple(conversations), tuple(skipped), dict(left_out))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _unknown(message: str) -> StoreError:
    return StoreError(
        "The file cannot be imported",
        message,
        "Give a JSON export of spnl-chat, ChatGPT's conversations.json, or an export of oterm.",
    )


def _from_own(
    value: dict[str, Any], name: str, on_read: Callable[[int, int], None]
) -> tuple[Conversation, ...]:
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
        on_read(number, len(conversations))
        try:
            found.append(conversation_from_plain(plain))
        except (ValueError, RecursionError) as error:
            raise StoreError(
                "The file cannot be imported", f"{name}, conversation {number}: {error}."
            ) from error
    return tuple(found)


# ── oterm ────────────────────────────────────────────────────────────────────────────────────────


def _from_oterm(text: str, name: str) -> Conversation:
    """Read the Markdown that oterm exports: *role*, the text, an empty line and a rule, for each message.

    It has no ids: those made here are the same for the same title and first message.
    """
    pieces = _OTERM_TURN.split(well_formed(text.removesuffix("\n").removesuffix("\n---")))
    title = first_line(Path(name).stem, _TITLE)
    said = [(role, text.strip("\n")) for role, text in zip(pieces[1::2], pieces[2::2], strict=True)]
    key = "\0".join([title, *next(((role, text) for role, text in said if role != "system"), ())])
    digest = hashlib.sha256(key.encode()).hexdigest()[:24]
    now = time.time()
    turns: list[Turn] = []
    for number, (role, words) in enumerate(said):
        if role != "system":
            turns.append(
                Turn(
                    id=f"{digest}.{number}",
                    parent=turns[-1].id if turns else None,
                    role="assistant" if role == "assistant" else "user",
                    content=as_content(words),
                    finish_reason="stop" if role == "assistant" else None,
                    created_at=now + number / 1000,
                )
            )
    system = "\n\n".join(words for role, words in said if role == "system")
    return Conversation.of(Conversation(id=digest, title=title, system_prompt=system), turns)
