"""Imports conversations from texts in any known format.

Files are not trusted. Values of the wrong type are ignored or refused. Texts are kept unchanged: callers that
show them must remove control characters and never parse markup. Time and memory are proportional to the
file's size.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.export import FORMAT, VERSION, conversation_from_plain
from spnl_tui.conversations.exchange.image_files import images_from_plain, images_of
from spnl_tui.conversations.exchange.items import NOT_ONE, Item, Skipped, read_item, read_items
from spnl_tui.conversations.exchange.readers.markdown import looks_like_markdown, read_markdown
from spnl_tui.conversations.exchange.readers.messages import Gathered
from spnl_tui.conversations.exchange.streams import MAX_BYTES, load
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import StoreError
from spnl_tui.front_matter import load_yaml
from spnl_tui.models.parts import as_content
from spnl_tui.text import first_line, well_formed
from spnl_tui.text_files import UnreadableFileError, read_file_bytes

_OTERM_TURN = re.compile(r"(?:^|\n\n---\n)\*(user|assistant|system)\*\n")
_TITLE = 200


@dataclass(frozen=True, slots=True)
class ReadFile:
    """The contents of an imported file."""

    conversations: tuple[Conversation, ...]
    skipped: tuple[Skipped, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    """The number of attachments of each kind that the file names without their content."""
    images: dict[str, bytes] = field(default_factory=dict)
    """The images in the file by SHA-256, not yet decoded."""


def read_file(path: Path) -> tuple[Conversation, ...]:
    """Return the conversations in this file; see `read_export`."""
    return read_export(path).conversations


def read_export(path: Path, on_read: Callable[[int, int], None] = lambda done, total: None) -> ReadFile:
    """Read the conversations in this file. Blocks, so call it in a thread.

    `on_read` receives the number read and the total. An exception that it raises ends the reading.

    Raises:
        StoreError: the file cannot be read, or its format is unknown.
    """
    try:
        data = read_file_bytes(path, MAX_BYTES)
    except UnreadableFileError as error:
        raise StoreError("Cannot read the file", f"{path}: {error}.", "Check the path.") from error
    return parse(data.decode("utf-8-sig", "replace"), path.name, on_read)


def read_text(text: str, name: str = "The text") -> tuple[Conversation, ...]:
    """Return the conversations in this text. Errors call it `name`.

    Raises:
        StoreError: the format is unknown, or the text is damaged.
    """
    return parse(text, name, lambda done, total: None).conversations


def parse(text: str, name: str, on_read: Callable[[int, int], None] = lambda done, total: None) -> ReadFile:
    """Return the conversations in a text of any format. `on_read` receives the number read and the total.

    Raises:
        StoreError: the format is unknown, or the text is damaged.
    """
    if _OTERM_TURN.match(text):
        return ReadFile((_from_oterm(text, name),))
    gathered = Gathered()
    if text.lstrip()[:1] not in ("{", "["):
        return _collected(_from_words(text, name, gathered), gathered, name)
    try:
        value = load(text)
    except RecursionError as error:
        raise StoreError("The file cannot be imported", f"{name} is nested too deeply.") from error
    except ValueError as error:
        raise unknown(f"{name} is not JSON: {error}.") from error
    if isinstance(value, dict) and value.get("format") == FORMAT:
        own = _from_own(value, name, on_read)
        lost: Counter[str] = Counter()
        wanted = images_of(turn for conversation in own for turn in conversation.turns())
        return ReadFile(own, (), lost, images_from_plain(value.get("images"), wanted, lost))
    items = value if isinstance(value, list) else [value]
    return _collected(_reported(read_items(items, name, gathered), len(items), on_read), gathered, name)


def _from_words(text: str, name: str, gathered: Gathered) -> Iterator[Item]:
    """Yield the conversation in Markdown, or in aichat's YAML."""
    stem = Path(name).stem
    if looks_like_markdown(text):
        if (conversation := read_markdown(text, stem)) is not None:
            yield conversation
        return
    try:
        value = load_yaml(text)
    except ValueError as error:
        raise unknown(f"{name} is neither JSON nor a conversation in Markdown or YAML.") from error
    if isinstance(value, dict):
        yield read_item(value, 1, stem, gathered)


def _reported(items: Iterator[Item], total: int, on_read: Callable[[int, int], None]) -> Iterator[Item]:
    for number, item in enumerate(items, 1):
        on_read(min(number, total), total)
        yield item


def _collected(items: Iterator[Item], gathered: Gathered, name: str) -> ReadFile:
    found = list(items)
    conversations = tuple(item for item in found if isinstance(item, Conversation))
    skipped = tuple(item for item in found if isinstance(item, Skipped))
    if not conversations:
        if all(item.reason == NOT_ONE for item in skipped):
            raise unknown(f"{name} contains no conversations in a format that spnl-chat can read.")
        raise unknown(f"{name} contains no readable conversations: {len(skipped):,} are empty or damaged.")
    return ReadFile(conversations, skipped, dict(+gathered.left_out), gathered.images)


def unknown(message: str) -> StoreError:
    """Return the error for a source without conversations."""
    return StoreError(
        "The file cannot be imported",
        message,
        "See docs/conversations.md for what can be imported.",
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
    """Read oterm's Markdown: for each message *role*, the text, an empty line and a rule.

    The file has no ids, so they are derived from the title and the first message.
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
