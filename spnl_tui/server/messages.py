"""Messages of OpenAI's API as messages of ours: texts, images, tool calls and their results."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from spnl_tui.errors import SpnlError
from spnl_tui.models.parts import ImagePart, Part, TextPart, ToolCallPart, ToolResultPart
from spnl_tui.models.request import Message
from spnl_tui.server.errors import ApiError, api_error
from spnl_tui.server.fields import need, take

KeepImage = Callable[[bytes, str], ImagePart]
"""Stores the bytes of an image of this media type for the engine. Raises SpnlError if it is not an image."""

_DATA_URL = re.compile(r"data:(image/[\w.+-]+);base64,", re.IGNORECASE)


def read_messages(value: list[Any], keep_image: KeepImage | None) -> tuple[Message, ...]:
    """Return the messages of a request. Results of tools that follow each other become one message.

    Blocking if there are images.

    Raises:
        ApiError: a message is malformed.
    """
    messages: list[Message] = []
    for number, each in enumerate(value):
        where = f"messages[{number}]."
        if not isinstance(each, dict):
            raise ApiError(400, f"messages[{number}] must be an object.", param="messages")
        role = need(each, "role", str, where)
        content = _content(each.get("content"), where, keep_image)
        if role == "tool":
            result = ToolResultPart(
                call_id=need(each, "tool_call_id", str, where),
                content=tuple(part for part in content if isinstance(part, TextPart | ImagePart)),
            )
            earlier: tuple[Part, ...] = ()
            if messages and messages[-1].role == "tool":
                earlier = messages.pop().content
            messages.append(Message("tool", (*earlier, result)))
        elif role in ("system", "developer"):
            messages.append(Message("system", content))
        elif role == "user":
            messages.append(Message("user", content))
        elif role == "assistant":
            messages.append(Message("assistant", (*content, *_calls(each, where))))
        else:
            raise ApiError(
                400, f"{where}role must be system, developer, user, assistant or tool.", param=f"{where}role"
            )
    if not messages:
        raise ApiError(400, "messages must hold at least one message.", param="messages")
    return tuple(messages)


def _content(value: Any, where: str, keep_image: KeepImage | None) -> tuple[Part, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),) if value else ()
    if not isinstance(value, list):
        raise ApiError(400, f"{where}content must be a string or a list.", param=f"{where}content")
    return tuple(_part(part, f"{where}content[{number}].", keep_image) for number, part in enumerate(value))


def _part(value: Any, where: str, keep_image: KeepImage | None) -> Part:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind in ("text", "input_text"):
        return TextPart(need(value, "text", str, where))
    if kind == "image_url":
        image = value.get("image_url")
        url = need(image, "url", str, f"{where}image_url.") if isinstance(image, dict) else image
        return _image(url, where, keep_image)
    raise ApiError(400, f"{where}type must be text or image_url.", param=f"{where}type")


def _image(url: Any, where: str, keep_image: KeepImage | None) -> ImagePart:
    param = f"{where}image_url"
    match = _DATA_URL.match(url) if isinstance(url, str) else None
    if match is None:
        # The server fetches nothing: a client could make it call addresses of this network.
        raise ApiError(400, f"{param} must be a data: URL of an image in Base64.", param=param)
    if keep_image is None:
        raise ApiError(400, "This server reads no images.", param=param)
    try:
        return keep_image(base64.b64decode(url[match.end() :], validate=True), match[1].lower())
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"{param} is not valid Base64.", param=param) from error
    except SpnlError as error:
        raise api_error(error, param) from error


def _calls(message: dict[str, Any], where: str) -> tuple[ToolCallPart, ...]:
    calls = []
    for number, call in enumerate(take(message, "tool_calls", list, [])):
        at = f"{where}tool_calls[{number}]."
        if not isinstance(call, dict) or not isinstance(function := call.get("function"), dict):
            raise ApiError(400, f"{at}function must be an object.", param=f"{at}function")
        calls.append(
            ToolCallPart(
                id=need(call, "id", str, at),
                name=need(function, "name", str, f"{at}function."),
                arguments=need(function, "arguments", str, f"{at}function."),
            )
        )
    return tuple(calls)
