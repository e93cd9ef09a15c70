"""Converts messages to JSON for OpenAI's API and for Ollama's own.

Formats: https://platform.openai.com/docs/api-reference/chat, https://docs.ollama.com/api/chat.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from spnl_tui.models.image_marks import content_of
from spnl_tui.models.parts import (
    Content,
    ImagePart,
    Part,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    as_text,
    images_in,
    without_images,
)
from spnl_tui.models.request import Message

ReadImage = Callable[[ImagePart], bytes]
"""Returns the bytes of an image. Blocking; may raise SpnlError."""


def openai_messages(messages: Sequence[Message], read_image: ReadImage) -> list[dict[str, Any]]:
    """Return the messages for /v1/chat/completions. Blocks if they have images.

    Raises:
        SpnlError: an image cannot be read.
    """
    return [each for message in messages for each in _openai_message(message, read_image)]


def _openai_message(message: Message, read_image: ReadImage) -> Iterator[dict[str, Any]]:
    content = _expanded(message.content)
    # A message may hold calls followed by their results. Each result becomes a message of its own.
    rest: list[Part] = []
    for part in content:
        if not isinstance(part, ToolResultPart):
            rest.append(part)
            continue
        if rest:
            yield _plain_message(message.role, tuple(rest), read_image)
            rest = []
        yield {"role": "tool", "tool_call_id": part.call_id, "content": _result_text(part)}
        if images := images_in(part.content):
            yield _plain_message("user", images, read_image)
    if rest or not content:
        yield _plain_message(message.role, tuple(rest), read_image)


def _plain_message(role: str, content: Content, read_image: ReadImage) -> dict[str, Any]:
    calls = [part for part in content if isinstance(part, ToolCallPart)]
    said = tuple(part for part in content if not isinstance(part, ToolCallPart))
    found: dict[str, Any] = {"role": role}
    if images_in(said):
        found["content"] = [_openai_part(part, read_image) for part in said]
    else:
        found["content"] = as_text(said)
    if calls:
        found["content"] = found["content"] or None
        found["tool_calls"] = [
            {"id": each.id, "type": "function", "function": {"name": each.name, "arguments": each.arguments}}
            for each in calls
        ]
    return found


def _openai_part(part: Part, read_image: ReadImage) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        data = base64.b64encode(read_image(part)).decode("ascii")
        return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{data}"}}
    return {"type": "text", "text": as_text((part,))}


def ollama_messages(messages: Sequence[Message], read_image: ReadImage) -> list[dict[str, Any]]:
    """Return the messages for /api/chat. Blocks if they have images.

    Raises:
        SpnlError: an image cannot be read.
    """
    found: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        content = _expanded(message.content)
        calls = [part for part in content if isinstance(part, ToolCallPart)]
        results = [part for part in content if isinstance(part, ToolResultPart)]
        said = tuple(part for part in content if not isinstance(part, ToolCallPart | ToolResultPart))
        if said or calls or not results:
            entry: dict[str, Any] = {"role": message.role, "content": as_text(without_images(said))}
            if images := images_in(said):
                entry["images"] = [base64.b64encode(read_image(each)).decode("ascii") for each in images]
            if calls:
                entry["tool_calls"] = [
                    {"function": {"name": each.name, "arguments": _arguments(each.arguments)}}
                    for each in calls
                ]
                names.update((each.id, each.name) for each in calls)
            found.append(entry)
        for result in results:
            name = names.get(result.call_id, "")
            found.append({"role": "tool", "tool_name": name, "content": _result_text(result)})
    return found


def _arguments(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _result_text(result: ToolResultPart) -> str:
    text = as_text(without_images(result.content))
    return f"Error: {text}" if result.error else text


def _expanded(content: Content) -> Content:
    """Return the content with each image mark replaced by its image."""
    found: list[Part] = []
    for part in content:
        found += content_of(part.text) if isinstance(part, TextPart) else (part,)
    return tuple(found)
