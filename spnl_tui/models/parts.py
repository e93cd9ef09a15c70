"""The parts of a message's content: text, image, file, tool call and tool result.

As JSON, content is a list of objects with a `type` ("text", "image", "file", "tool_call", "tool_result") and
the fields of that part. Standard library only, because the runner imports it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text of the user or a model."""

    type: Literal["text"] = field(default="text", init=False)
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image, which is stored separately under its hash."""

    type: Literal["image"] = field(default="image", init=False)
    sha256: str
    """The SHA-256 of the file's bytes, in hexadecimal digits."""
    media_type: str
    """Such as image/png (https://www.iana.org/assignments/media-types)."""
    size: int
    """Bytes."""
    name: str = ""
    """The name of the original file; empty if there was none."""
    width: int = 0
    """Pixels; 0 if unknown."""
    height: int = 0


@dataclass(frozen=True, slots=True)
class FilePart:
    """A text file attached to a message."""

    type: Literal["file"] = field(default="file", init=False)
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A tool call by a model."""

    type: Literal["tool_call"] = field(default="tool_call", init=False)
    id: str
    """Identifies the call in its result."""
    name: str
    arguments: str
    """The arguments as the model wrote them: usually a JSON object."""


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """The result of a tool call."""

    type: Literal["tool_result"] = field(default="tool_result", init=False)
    call_id: str
    content: tuple[TextPart | ImagePart | FilePart, ...]
    error: bool = False
    """True if the tool failed; `content` then says why."""
    seconds: float = 0.0
    """How long the call ran, in seconds."""


Part: TypeAlias = TextPart | ImagePart | FilePart | ToolCallPart | ToolResultPart
Content: TypeAlias = tuple[Part, ...]

NO_RESULT: tuple[TextPart, ...] = (TextPart("The call was stopped before it had a result."),)
"""The result of a call that was stopped, or was running when the program ended."""

_KINDS: dict[str, type[Part]] = {
    "text": TextPart,
    "image": ImagePart,
    "file": FilePart,
    "tool_call": ToolCallPart,
    "tool_result": ToolResultPart,
}
_IN_RESULTS = (TextPart, ImagePart, FilePart)
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "size": int,
    "width": int,
    "height": int,
    "error": bool,
    "seconds": (int, float),
    "content": (list, str),
}
"""The JSON types of the fields that are not strings."""


# ── text ─────────────────────────────────────────────────────────────────────────────────────────


def as_content(value: str | Sequence[Part]) -> Content:
    """Return a text as content; return parts as a tuple."""
    if isinstance(value, str):
        return (TextPart(value),) if value else ()
    return tuple(value)


def is_plain(content: Content) -> bool:
    """Return True if the content is one text or empty."""
    return not content or (len(content) == 1 and isinstance(content[0], TextPart) and content[0].text != "")


def has_calls(content: Content) -> bool:
    """Return True if the content has tool calls or tool results."""
    return any(isinstance(part, ToolCallPart | ToolResultPart) for part in content)


def unanswered_calls(content: Content) -> tuple[ToolCallPart, ...]:
    """Return the calls without a result."""
    answered = {part.call_id for part in content if isinstance(part, ToolResultPart)}
    calls = (part for part in content if isinstance(part, ToolCallPart))
    return tuple(call for call in calls if call.id not in answered)


def text_of(content: Content) -> str:
    """Return the text parts, with an empty line between them."""
    return "\n\n".join(part.text for part in content if isinstance(part, TextPart))


def with_text(content: Content, text: str) -> Content:
    """Replace all text parts by one, at the place of the last text part or at the end."""
    places = [place for place, part in enumerate(content) if isinstance(part, TextPart)]
    at = places[-1] if places else len(content)
    others = [part for part in content[:at] if not isinstance(part, TextPart)]
    return (*others, *as_content(text), *content[at + 1 :])


def append_text(content: Content, text: str) -> Content:
    """Append text to the last part if it is a text part; else add a new part."""
    if not text:
        return content
    if content and isinstance(content[-1], TextPart):
        return (*content[:-1], TextPart(content[-1].text + text))
    return (*content, TextPart(text))


def extend(content: Content, more: Content) -> Content:
    """Append parts; where two texts meet, join them directly."""
    if more and isinstance(more[0], TextPart):
        return (*append_text(content, more[0].text), *more[1:])
    return (*content, *more)


def cut_text(content: Content, length: int) -> Content:
    """Keep the parts up to this many characters of `text_of`."""
    kept: list[Part] = []
    between = 0
    for part in content:
        if isinstance(part, TextPart):
            length -= between
            if length < len(part.text):
                kept += [TextPart(part.text[:length])] if length > 0 else []
                break
            length -= len(part.text)
            between = 2
        kept.append(part)
    return tuple(kept)


def join(first: Content, second: Content) -> Content:
    """Return the parts of both; where two texts meet, join them with an empty line between."""
    if first and second and isinstance(first[-1], TextPart) and isinstance(second[0], TextPart):
        return (*first[:-1], TextPart(f"{first[-1].text}\n\n{second[0].text}"), *second[1:])
    return (*first, *second)


def merge_texts(parts: Iterable[Part]) -> Content:
    """Return the parts with adjacent texts joined, with empty lines between them."""
    merged: list[Part] = []
    for is_text, row in groupby(parts, lambda part: isinstance(part, TextPart)):
        members = tuple(row)
        merged += [TextPart(text_of(members))] if is_text else members
    return tuple(merged)


def as_text(content: Content) -> str:
    """Return all parts as text, for files and for models that read only text."""
    if len(content) == 1 and isinstance(content[0], TextPart):
        return content[0].text
    return "\n\n".join(_part_as_text(part) for part in content)


def _part_as_text(part: Part) -> str:
    match part:
        case TextPart():
            return part.text
        case ImagePart():
            return f"[Image: {part.name or part.media_type}, {part.size:,} bytes]"
        case FilePart():
            return f"`{part.name}`:\n{fenced(part.text)}"
        case ToolCallPart():
            return f"Tool call `{part.name}`:\n{fenced(part.arguments)}"
        case ToolResultPart():
            title = "Tool error" if part.error else "Tool result"
            return f"{title}:\n{fenced(as_text(part.content))}"


def images_in(content: Content) -> tuple[ImagePart, ...]:
    """Return the images, including those in tool results."""
    found: list[ImagePart] = []
    for part in content:
        if isinstance(part, ImagePart):
            found.append(part)
        elif isinstance(part, ToolResultPart):
            found += images_in(part.content)
    return tuple(found)


def without_images(content: Content) -> Content:
    """Return all parts except images."""
    return tuple(part for part in content if not isinstance(part, ImagePart))


def fenced(text: str, language: str = "") -> str:
    """Return the text in a Markdown fence that is longer than any fence in it."""
    longest = max((len(ticks) for ticks in re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def content_to_plain(content: Content) -> list[dict[str, Any]]:
    """Return content as JSON values."""
    return [dataclasses.asdict(part) for part in content]


def content_from_plain(value: Any) -> Content:
    """Return the content from the values of `content_to_plain`; a string becomes one text.

    Raises:
        ValueError: the value is not valid content.
    """
    if isinstance(value, str):
        return as_content(value)
    if not isinstance(value, list):
        raise ValueError("content must be a list of parts")
    return tuple(_part(each) for each in value)


def _part(value: Any) -> Part:
    cls = _KINDS.get(str(value.get("type"))) if isinstance(value, dict) else None
    if cls is None:
        raise ValueError("a part of the content has an unknown type")
    values: dict[str, Any] = {}
    for each in dataclasses.fields(cls):
        if each.init and (each.name in value or each.default is dataclasses.MISSING):
            values[each.name] = _field(cls, each.name, value.get(each.name))
    return cls(**values)


def _field(cls: type[Part], name: str, value: Any) -> Any:
    kind = _FIELDS.get(name, str)
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not right or (kind is int and not 0 <= value < 2**63):
        raise ValueError(f"{name} of a {cls.__name__} has the wrong type or value")
    if name != "content":
        return value
    content = content_from_plain(value)
    if not all(isinstance(part, _IN_RESULTS) for part in content):
        raise ValueError("a tool result can hold only texts, images and files")
    return content
