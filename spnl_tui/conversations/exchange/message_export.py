"""Writes conversations in the formats of OpenAI messages (JSON lines) and ShareGPT (JSON), for other
programs.

readers/objects.py gives the sources of both formats. Each branch becomes one conversation. Thoughts go into
`reasoning_content`, as with vLLM and DeepSeek.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from spnl_tui.conversations.conversation import Conversation
from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import AttachmentError
from spnl_tui.media.image_store import ImageStore
from spnl_tui.models.parts import ImagePart, Part, TextPart, ToolCallPart, ToolResultPart, as_text
from spnl_tui.text import well_formed

Branch = tuple[Conversation, Sequence[Turn]]


def to_openai(branches: Iterable[Branch], images: ImageStore | None = None) -> str:
    """Return a line of JSON for each branch: {"id", "title", "model", "messages"}."""
    lines = []
    for conversation, turns in branches:
        messages = [message for turn in turns for message in _messages(turn, images)]
        if conversation.system_prompt:
            messages.insert(0, {"role": "system", "content": conversation.system_prompt})
        lines.append(json.dumps({**_details(conversation), "messages": messages}, ensure_ascii=False))
    return well_formed("\n".join(lines)) + "\n"


def to_sharegpt(branches: Iterable[Branch]) -> str:
    """Return a JSON list with {"id", "title", "conversations": [{"from", "value"}]} for each branch."""
    found = []
    for conversation, turns in branches:
        said = [message for turn in turns for message in _sharegpt(turn)]
        system = {"system": conversation.system_prompt} if conversation.system_prompt else {}
        found.append({**_details(conversation), **system, "conversations": said})
    return well_formed(json.dumps(found, ensure_ascii=False, indent=1)) + "\n"


def _details(conversation: Conversation) -> dict[str, Any]:
    details = {"id": conversation.id, "title": conversation.title, "model": conversation.model}
    times = {"created_at": conversation.created_at, "updated_at": conversation.updated_at}
    return {**{name: value for name, value in details.items() if value}, **times}


def _messages(turn: Turn, images: ImageStore | None) -> list[dict[str, Any]]:
    """Return the messages of a turn. The format requires a message for each tool result."""
    messages: list[dict[str, Any]] = []
    if turn.role != "assistant":
        return [{"role": turn.role, "content": _content(turn.content, images), **_time(turn)}]
    waiting: list[Part] = []

    def flush() -> None:
        if not waiting and (messages or not turn.reasoning):
            return
        calls = [part for part in waiting if isinstance(part, ToolCallPart)]
        said = [part for part in waiting if not isinstance(part, ToolCallPart)]
        message: dict[str, Any] = {"role": "assistant", "content": _content(said, images) or None}
        if calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in calls
            ]
        messages.append(message)
        waiting.clear()

    for part in turn.content:
        if isinstance(part, ToolResultPart):
            flush()
            messages.append({"role": "tool", "tool_call_id": part.call_id, "content": as_text(part.content)})
        else:
            if isinstance(part, TextPart) and any(isinstance(each, ToolCallPart) for each in waiting):
                flush()
            waiting.append(part)
    flush()
    if messages:
        messages[0] |= _time(turn)
        if turn.reasoning:
            messages[0]["reasoning_content"] = turn.reasoning
        if turn.provenance is not None and turn.provenance.model:
            messages[0]["model"] = turn.provenance.model
    return messages


def _time(turn: Turn) -> dict[str, Any]:
    return {"created_at": turn.created_at} if turn.created_at else {}


def _content(parts: Sequence[Part], images: ImageStore | None) -> Any:
    """Return a text, or blocks if there are images."""
    if not any(isinstance(part, ImagePart) for part in parts):
        return as_text(tuple(parts))
    blocks: list[dict[str, Any]] = []
    for part in parts:
        address = image_address(part, images) if isinstance(part, ImagePart) else None
        if address is not None:
            blocks.append({"type": "image_url", "image_url": {"url": address}})
        else:
            blocks.append({"type": "text", "text": as_text((part,))})
    return blocks


def image_address(image: ImagePart, images: ImageStore | None) -> str | None:
    """Return the image as a data: URL; None if its bytes are missing."""
    if images is None:
        return None
    try:
        return f"data:{image.media_type};base64,{base64.b64encode(images.read(image)).decode()}"
    except AttachmentError:
        return None


def _sharegpt(turn: Turn) -> list[dict[str, str]]:
    if turn.role != "assistant":
        return [{"from": "human" if turn.role == "user" else "system", "value": turn.model_text}]
    said: list[dict[str, str]] = []
    for part in turn.content:
        match part:
            case ToolCallPart():
                said.append({"from": "function_call", "value": part.arguments})
            case ToolResultPart():
                said.append({"from": "observation", "value": as_text(part.content)})
            case _:
                said.append({"from": "gpt", "value": as_text((part,))})
    if turn.reasoning:
        first = next((each for each in said if each["from"] == "gpt"), None)
        if first is None:
            first = {"from": "gpt", "value": ""}
            said.append(first)
        first["reasoning"] = turn.reasoning
    return said
