"""Builds conversations from the messages that readers find, with the same ids in every import."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.titles import title_of
from spnl_tui.conversations.turn import Provenance, Turn
from spnl_tui.media.conversion import IMAGE_BYTES
from spnl_tui.models.parts import (
    FilePart,
    ImagePart,
    Part,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    merge_texts,
)
from spnl_tui.text import first_line, well_formed

_TITLE = 200
PORTABLE = "portable"
"""The source name for formats that we also write. Their conversations keep their ids."""
_OWN = "x-"
_OWN_ID = re.compile(r"x-[0-9a-f]{24}")
_LATEST = 1e11
"""Unix seconds in the year 5138."""
_MAX_DEPTH = 12
_ASSISTANTS = frozenset({"assistant", "model", "bot", "gpt", "chatgpt", "ai"})
_USERS = frozenset({"user", "human", "prompter"})
_SYSTEMS = frozenset({"system", "developer"})
_TOOLS = frozenset({"tool", "function", "observation", "tool_response"})


@dataclass(slots=True)
class Gathered:
    """The data that an import collects in addition to conversations."""

    images: dict[str, bytes] = field(default_factory=dict)
    """Images by SHA-256, not yet decoded."""
    left_out: Counter[str] = field(default_factory=Counter)
    """The number of attachments of each kind without content in the source."""


@dataclass(slots=True)
class Said:
    """One message of a source."""

    role: str
    """"user", "assistant", "system" or "tool"; see `role_of`."""
    parts: list[Part] = field(default_factory=list)
    reasoning: str = ""
    created_at: float | None = None
    model: str = ""
    id: str = ""
    """The source's id for the message; empty if it has none."""
    parent: str | None = None
    """The id of the previous message, if the source is a tree."""


def conversation_of(
    source: str,
    key: str,
    said: Sequence[Said],
    *,
    tree: bool = False,
    current: str | None = None,
    title: object = None,
    system: str = "",
    model: object = None,
    created_at: float | None = None,
    updated_at: float | None = None,
    archived: bool = False,
    tags: Iterable[object] = (),
) -> Conversation | None:
    """Return the conversation of these messages; None if none has content.

    `source` and `key` identify it in every import. Without `tree`, each message follows the previous one.
    `current` is the last message of the branch that was shown last.
    """
    id = stable_id(f"{source}\0{key}")
    if source == PORTABLE:
        id = key = key if _OWN_ID.fullmatch(key) else f"{_OWN}{id}"
    systems = [system.strip()] if system.strip() else []
    kept: list[Said] = []
    for each in said:
        if each.role == "system":
            words = "\n\n".join(part.text for part in each.parts if isinstance(part, TextPart)).strip()
            systems += [words] if words and words not in systems else []
        elif tree or not (kept and _joins(kept[-1], each)):
            kept.append(each)
        else:
            last = kept[-1]
            kept[-1] = replace(
                last,
                parts=[*last.parts, *each.parts],
                reasoning="\n\n".join(filter(None, (last.reasoning, each.reasoning))),
                model=last.model or each.model,
            )
    kept = [each for each in kept if tree or each.parts or each.reasoning]
    if not any(each.parts or each.reasoning for each in kept):
        return None
    begin = created_at or min((each.created_at for each in kept if each.created_at), default=0.0)
    ids = {
        each.id or str(number): stable_id(f"{source}\0{key}\0{each.id or number}")
        for number, each in enumerate(kept)
    }
    turns: list[Turn] = []
    for number, each in enumerate(kept):
        parent = ids.get(each.parent or "") if tree else (turns[-1].id if turns else None)
        turns.append(_turn(ids[each.id or str(number)], parent, each, begin, number))
    latest = max((turn.created_at for turn in turns), default=0.0)
    conversation = Conversation.of(
        Conversation(
            id=id,
            title=first_line(well_formed(title), _TITLE) if isinstance(title, str) else "",
            title_is_automatic=False,
            system_prompt=well_formed("\n\n".join(systems)),
            model=as_text(model),
            archived=archived,
            tags=tuple(dict.fromkeys(as_text(tag) for tag in tags if as_text(tag))),
            created_at=begin,
            updated_at=updated_at or latest or begin,
        ),
        turns,
    )
    if current is not None and current in ids:
        conversation.select(ids[current])
    if not conversation.title:
        conversation.title, conversation.title_is_automatic = title_of(conversation), True
    return conversation


def _joins(last: Said, each: Said) -> bool:
    """Return True if a message belongs to the previous reply, as a tool's result or more of the reply."""
    return last.role in ("assistant", "tool") and each.role in ("assistant", "tool")


def _turn(id: str, parent: str | None, said: Said, begin: float, number: int) -> Turn:
    reply = said.role in ("assistant", "tool")
    return Turn(
        id=id,
        parent=parent,
        role="assistant" if reply else "user",
        content=merge_texts(part for part in said.parts if not isinstance(part, TextPart) or part.text),
        reasoning=said.reasoning,
        finish_reason="stop" if reply else None,
        provenance=Provenance(model=said.model) if reply and said.model else None,
        created_at=said.created_at or begin + number / 1000,
    )


# ── values of unknown types ──────────────────────────────────────────────────────────────────────


def role_of(value: object) -> str | None:
    """Return our role for the source's name of it; None if it is unknown."""
    name = value.lower() if isinstance(value, str) else ""
    for role, names in (
        ("assistant", _ASSISTANTS),
        ("user", _USERS),
        ("system", _SYSTEMS),
        ("tool", _TOOLS),
    ):
        if name in names:
            return role
    return None


def as_text(value: object) -> str:
    """Return a text that can be stored; empty for other values."""
    return well_formed(value) if isinstance(value, str) else ""


def as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def time_of(value: object) -> float | None:
    """Return Unix seconds for seconds, milliseconds, nanoseconds or an ISO date; None for other values."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            return None
        value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    seconds = float(value)
    while seconds > _LATEST:
        seconds /= 1000
    return seconds if seconds > 0 else None


def stable_id(key: str) -> str:
    """Return an id derived from this key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:24]


def digest_of(value: object) -> str:
    """Return a key, derived from its beginning, for a conversation without an id."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


# ── parts ────────────────────────────────────────────────────────────────────────────────────────


def text_parts(text: object) -> list[Part]:
    words = as_text(text)
    return [TextPart(words)] if words.strip() else []


def file_part(name: object, text: object) -> list[Part]:
    return [FilePart(as_text(name) or "file", as_text(text))] if as_text(text).strip() else []


def image_part(data: bytes, media_type: str, name: str, gathered: Gathered) -> list[Part]:
    """Return the part of an image, and collect its bytes."""
    if not data or len(data) > IMAGE_BYTES:
        gathered.left_out["image"] += 1
        return []
    sha256 = hashlib.sha256(data).hexdigest()
    gathered.images[sha256] = data
    return [ImagePart(sha256, media_type or _media_type(data), len(data), first_line(name, 100))]


def image_from_base64(encoded: object, gathered: Gathered, name: str = "") -> list[Part]:
    """Return the part of a base64 image, which may be a `data:` URL."""
    if not isinstance(encoded, str):
        gathered.left_out["image"] += 1
        return []
    media_type = ""
    if encoded.startswith("data:"):
        head, _, encoded = encoded.partition(",")
        media_type = head.removeprefix("data:").partition(";")[0]
    try:
        data = base64.b64decode(encoded, validate=True) if len(encoded) <= IMAGE_BYTES * 2 else b""
    except (ValueError, binascii.Error):  # not a data URL, or damaged
        data = b""
    return image_part(data, media_type, name, gathered)


def call_part(id: object, name: object, arguments: object) -> Part:
    written = (
        arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    )
    return ToolCallPart(as_text(id), as_text(name) or "tool", well_formed(written))


def result_part(call_id: object, parts: Iterable[Part], *, error: bool = False) -> Part:
    content = tuple(part for part in parts if isinstance(part, (TextPart, ImagePart, FilePart)))
    return ToolResultPart(as_text(call_id), content, error)


def content_parts(value: object, gathered: Gathered, depth: int = 0) -> list[Part]:
    """Return the parts of content in the form of OpenAI, Anthropic and LM Studio: a text or blocks."""
    if isinstance(value, str):
        return text_parts(value)
    if isinstance(value, dict):
        value = [value]
    parts: list[Part] = []
    for block in as_list(value) if depth < _MAX_DEPTH else ():
        if isinstance(block, str):
            parts += text_parts(block)
        elif isinstance(block, dict):
            parts += _block(block, gathered, depth)
    return parts


def _block(block: dict[str, Any], gathered: Gathered, depth: int) -> list[Part]:
    match block.get("type"):
        case "image_url":
            address = block.get("image_url")
            return image_from_base64(
                as_dict(address).get("url") if isinstance(address, dict) else address, gathered
            )
        case "image" | "input_image":
            source = as_dict(block.get("source"))
            return image_from_base64(source.get("data", block.get("image_url")), gathered)
        case "tool_use":
            return [call_part(block.get("id"), block.get("name"), block.get("input"))]
        case "tool_result":
            inner = content_parts(block.get("content"), gathered, depth + 1)
            return [result_part(block.get("tool_use_id"), inner, error=block.get("is_error") is True)]
        case "input_audio" | "audio":
            gathered.left_out["audio"] += 1
            return []
        case "file" | "document":
            gathered.left_out["file"] += 1
            return []
        case "thinking" | "redacted_thinking" | "reasoning":
            return []  # see `reasoning_of`
        case _:
            return text_parts(block.get("text", block.get("content")))


def reasoning_of(value: object) -> str:
    """Return the thoughts in blocks of content."""
    blocks = (block for block in as_list(value) if isinstance(block, dict))
    thoughts = (
        as_text(block.get("thinking", block.get("text")))
        for block in blocks
        if block.get("type") in ("thinking", "reasoning")
    )
    return "\n\n".join(filter(None, thoughts))


def _media_type(data: bytes) -> str:
    for magic, media_type in ((b"\x89PNG", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif")):
        if data.startswith(magic):
            return media_type
    return "image/webp" if data[8:12] == b"WEBP" else "application/octet-stream"
