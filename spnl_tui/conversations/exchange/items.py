"""The items of an import source: each is a conversation, or is skipped with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePath
from typing import Any, TypeAlias

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.readers.gemini import is_activity, read_activities
from spnl_tui.conversations.exchange.readers.messages import Gathered, as_dict, as_text, role_of
from spnl_tui.conversations.exchange.readers.objects import find_reader, read_messages
from spnl_tui.conversations.exchange.streams import NotJson
from spnl_tui.text import first_line

NO_WORDS = "no message contains text"
NOT_ONE = "it is not a conversation"


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item of a source that was not imported."""

    title: str
    reason: str
    """The reason as a clause, such as "it is damaged"."""


Item: TypeAlias = Conversation | Skipped


def read_items(items: Iterable[Any], name: str, gathered: Gathered) -> Iterator[Item]:
    """Yield the conversation of each item; a list of messages is one conversation, and activities are
    grouped."""
    remaining = iter(items)
    first = next(remaining, None)
    remaining = chain([first], remaining)
    if is_activity(first):
        conversations, others = read_activities(list(remaining), gathered)
        yield from conversations
        if others:
            yield Skipped(f"{others:,} activities", "they are not a prompt with its reply")
        return
    stem = PurePath(name).stem
    if find_reader(first) is None and role_of(as_dict(first).get("role")) is not None:
        if (conversation := read_messages(list(remaining), stem, gathered)) is not None:
            yield conversation
        return
    for number, item in enumerate(remaining, 1):
        yield read_item(item, number, stem, gathered)


def read_item(item: Any, number: int, name: str, gathered: Gathered) -> Item:
    """Return the conversation in this object, or why it is skipped."""
    if isinstance(item, NotJson):
        return Skipped(f"Line {item.line:,}", "it is not JSON")
    if (reader := find_reader(item)) is None:
        return Skipped(f"Item {number:,}", NOT_ONE)
    conversation = reader(item, name, gathered)
    if conversation is not None:
        return conversation
    title = first_line(as_text(item.get("title") or item.get("name")), 60)
    return Skipped(title or f"Item {number:,}", NO_WORDS)
