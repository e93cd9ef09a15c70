"""Writes conversations to files: lossless JSON, and Markdown for reading.

The JSON is one object, {"format": "spnl-chat conversations", "version": 1, "conversations": […]}. Each
conversation has its details and its `turns`, parents first; field names are those of `Conversation`, `Turn`
and `Provenance`, empty fields are left out, and `chosen` is a list of [parent or null, child]. The content of
a turn is its `text`, or in version 2 `content`, a list of parts (models/parts.py). `images` has the bytes of
images as base64, by SHA-256.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.exchange.image_files import images_as_plain
from spnl_tui.conversations.records import from_plain, to_plain, turn_from_plain, turn_to_plain
from spnl_tui.conversations.turn import Turn
from spnl_tui.text import well_formed, without_controls

if TYPE_CHECKING:
    from spnl_tui.media.image_store import ImageStore

FORMAT = "spnl-chat conversations"
VERSION = 2
"""The version of the format. Version 2 added `content` to turns, for parts other than one text."""
_VERSION_OF_TEXT = 1

_DETAILS = tuple(f.name for f in dataclasses.fields(Conversation) if not f.name.startswith("_"))
_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_LATEST = 1e11
"""Unix seconds in the year 5138. Larger numbers are not valid times."""


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def to_json_text(conversations: Iterable[Conversation], images: ImageStore | None = None) -> str:
    """Return the conversations as JSON for an import. Equal conversations give equal text.

    With `images`, the bytes of images are included.
    """
    every = tuple(conversations)
    whole = [conversation_to_plain(conversation) for conversation in every]
    # Version 0.1.0 can read conversations without parts.
    has_parts = any("content" in turn for each in whole for turn in each["turns"])
    version = VERSION if has_parts else _VERSION_OF_TEXT
    file: dict[str, Any] = {"format": FORMAT, "version": version, "conversations": whole}
    if images is not None and (data := images_as_plain(every, images)):
        file["images"] = data
    return well_formed(json.dumps(file, ensure_ascii=False, indent=1)) + "\n"


def conversation_to_plain(conversation: Conversation) -> dict[str, Any]:
    """Return one conversation as JSON values."""
    details = {name: to_plain(getattr(conversation, name)) for name in _DETAILS}
    details["chosen"] = [[parent, child] for parent, child in sorted(conversation.chosen.items(), key=str)]
    return {**details, "turns": [turn_to_plain(turn) for turn in conversation.turns()]}


def conversation_from_plain(value: Any) -> Conversation:
    """Return the conversation from the values of `conversation_to_plain`.

    Raises:
        ValueError: the values are not a valid conversation.
    """
    if not isinstance(value, dict) or not isinstance(value.get("turns"), list):
        raise ValueError("a conversation is an object with a list of turns")
    known = {name: value[name] for name in _DETAILS if name in value and name != "chosen"}
    details = from_plain(Conversation, known)
    turns = [turn_from_plain(turn) for turn in value["turns"]]
    for id in (details.id, *(turn.id for turn in turns)):
        if not _ID.fullmatch(id):
            raise ValueError(f"{id[:70]!r} is not an id")
    for time in (details.created_at, details.updated_at, *(turn.created_at for turn in turns)):
        if not 0 <= time < _LATEST:
            raise ValueError(f"{time!r} is not a time")
    details.chosen = _chosen(value.get("chosen", []))
    return Conversation.of(details, turns)


def _chosen(value: Any) -> dict[str | None, str]:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise ValueError("chosen must be a list of pairs")
    if not all(isinstance(p, str | None) and isinstance(c, str) for p, c in value):
        raise ValueError("chosen must hold ids")
    return dict(value)


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────


def to_markdown(
    conversation: Conversation,
    turns: Sequence[Turn] | None = None,
    linked: Callable[[Turn], Turn] = lambda turn: turn,
) -> str:
    """Return the active branch, or these turns, as Markdown with front matter, without control characters.

    `linked` replaces a turn's images with links.
    """
    chosen = conversation.path() if turns is None else turns
    front = {
        "title": conversation.title,
        "id": conversation.id,
        "created": _iso(conversation.created_at),
        "updated": _iso(conversation.updated_at),
        "model": conversation.model,
        "tags": list(conversation.tags),
        "system_prompt": conversation.system_prompt,
    }
    # JSON is valid YAML, and quotes all special characters.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in front.items() if value]
    parts = ["---\n" + "\n".join(lines) + "\n---"]
    for turn in chosen:
        parts.append(f"## {_heading(conversation, turn)}")
        if turn.reasoning.strip():
            thought = turn.reasoning.strip("\n")
            parts.append(f"<details>\n<summary>Thinking</summary>\n\n{thought}\n\n</details>")
        if (said := linked(turn).model_text).strip():
            parts.append(said.strip("\n"))
        if turn.error or turn.finish_reason in ("cancelled", "failed"):
            parts.append(f"> *{' '.join((turn.error or 'Stopped.').split())}*")
    return well_formed(without_controls("\n\n".join(parts))) + "\n"


def whole_to_markdown(conversation: Conversation, linked: Callable[[Turn], Turn] = lambda turn: turn) -> str:
    """Return all branches as Markdown: each turn once, siblings numbered one after the other.

    `linked` replaces a turn's images with links.
    """
    return to_markdown(conversation, tuple(conversation.turns()), linked)


def _heading(conversation: Conversation, turn: Turn) -> str:
    who = {"user": "User", "assistant": "Assistant", "system": "System"}[turn.role]
    model = turn.provenance.model if turn.provenance else ""
    siblings = conversation.siblings(turn.id)
    place = f", {siblings.index(turn) + 1} of {len(siblings)}" if len(siblings) > 1 else ""
    return f"{who}{f' ({model})' if model else ''}{place}"


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")
