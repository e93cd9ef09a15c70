"""Finds out, by trying, how a chat template writes tools, calls and results.

If the template supports them, it writes them in the model's own format. If not, the system prompt lists the
tools, calls become text in the assistant's messages, and results become user messages.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spnl_tui.models.image_marks import marked_text
from spnl_tui.models.parts import ToolCallPart, ToolResultPart
from spnl_tui.models.prompts.chat_prompt import ChatPrompt, TemplateError
from spnl_tui.models.request import Message
from spnl_tui.models.tool_formats.calls import ToolFormat, as_object
from spnl_tui.models.tool_formats.prompt import result_text, with_tools
from spnl_tui.models.tool_formats.table import HERMES, find_format
from spnl_tui.models.tools import Tool

_ASK, _RESULT, _VALUE = "askbravo", "resultindia", "valuehotel"
_TOOL = Tool(
    name="toolfoxtrot",
    description="describejuliett",
    parameters='{"type": "object", "properties": {"keygolf": {"type": "string"}}, "required": ["keygolf"]}',
)
_CALL = ToolCallPart("abcdefghi", _TOOL.name, json.dumps({"keygolf": _VALUE}))

Dict = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTraits:
    """A template's support for tools."""

    format: ToolFormat
    shows_tools: bool
    """True if it lists the tools of the request."""
    shows_calls: bool
    """True if it writes the calls of earlier replies."""
    shows_results: bool
    """True if it accepts the role "tool"."""
    text_arguments: bool = False
    """True if it appends arguments to a text, so that they must be JSON text, not an object."""


def read_tool_traits(prompt: ChatPrompt, typed: bool) -> ToolTraits:
    """Return the template's traits. `typed` is True if it takes content only as a list of parts."""

    def written(messages: Sequence[Dict], tools: Sequence[Dict]) -> str:
        try:
            return prompt.write([_typed(each, typed) for each in messages], tools=tools)
        except TemplateError:
            return ""

    tools = [_TOOL.as_function()]
    ask: Dict = {"role": "user", "content": _ASK}
    shows_tools = _TOOL.name in written([ask], tools)
    for text_arguments in (False, True):
        call = {"role": "assistant", "content": "", "tool_calls": [_plain_call(_CALL, text_arguments)]}
        result = {"role": "tool", "content": _RESULT, "name": _TOOL.name, "tool_call_id": _CALL.id}
        text = written([ask, call, result], tools).rpartition(_ASK)[2]
        if not (_TOOL.name in text and _VALUE in text):
            text = written([ask, call], tools).rpartition(_ASK)[2]
        if _TOOL.name in text and _VALUE in text:
            format = find_format(prompt.text, text, _CALL, _TOOL)
            return ToolTraits(
                format=format,
                shows_tools=shows_tools,
                shows_calls=True,
                shows_results=_RESULT in text,
                text_arguments=text_arguments,
            )
    result = {"role": "tool", "content": _RESULT, "name": _TOOL.name, "tool_call_id": _CALL.id}
    text = written([ask, {"role": "assistant", "content": "x"}, result], tools)
    return ToolTraits(
        format=find_format(prompt.text, "", _CALL, _TOOL) if shows_tools else HERMES,
        shows_tools=shows_tools,
        shows_calls=False,
        shows_results=shows_tools and _RESULT in text,
    )


def message_dicts(
    messages: Sequence[Message], tools: Sequence[Tool], traits: ToolTraits, as_read: Callable[[str], str]
) -> list[Dict]:
    """Return the messages in the form that the template takes. `as_read` prepares each text."""
    dicts: list[Dict] = []
    calls: dict[str, ToolCallPart] = {}
    if tools and not traits.shows_tools:
        first = messages[0] if messages else None
        system = first.model_text if first is not None and first.role == "system" else ""
        messages = [Message("system", with_tools(system, tools)), *messages[1 if system else 0 :]]
    for message in messages:
        own = [part for part in message.content if isinstance(part, ToolCallPart)]
        results = [part for part in message.content if isinstance(part, ToolResultPart)]
        text = as_read(
            marked_text(tuple(p for p in message.content if not isinstance(p, ToolCallPart | ToolResultPart)))
        )
        calls.update((call.id, call) for call in own)
        if own:
            dicts.append(_with_calls(text, own, traits))
        elif results:
            dicts += _results(results, calls, traits, as_read)
        else:
            dicts.append({"role": message.role, "content": text})
    return dicts


def one_call_each(dicts: Sequence[Dict]) -> list[Dict]:
    """Return the messages with each parallel call in a message of its own, as some templates require."""
    arranged: list[Dict] = []
    pending: dict[str, Dict] = {}
    for each in dicts:
        calls = each.get("tool_calls", ())
        if len(calls) > 1:
            for number, call in enumerate(calls):
                content = each["content"] if number == 0 else ""
                pending[call["id"]] = {**each, "content": content, "tool_calls": [call]}
        elif (id := each.get("tool_call_id", "")) in pending:
            arranged += [pending.pop(id), each]
        else:
            arranged.append(each)
    return arranged


def _with_calls(text: str, calls: Sequence[ToolCallPart], traits: ToolTraits) -> Dict:
    valid = [_valid(call) for call in calls]
    if not traits.shows_calls:
        written = traits.format.write(valid)
        return {"role": "assistant", "content": "\n".join(filter(None, (text, written)))}
    named = _with_ids(valid, traits.format)
    plain = [_plain_call(call, traits.text_arguments) for call in named]
    return {"role": "assistant", "content": text, "tool_calls": plain}


def _results(
    results: Sequence[ToolResultPart],
    calls: Mapping[str, ToolCallPart],
    traits: ToolTraits,
    as_read: Callable[[str], str],
) -> Iterator[Dict]:
    if not traits.shows_results:
        texts = (
            result_text(
                calls[each.call_id].name if each.call_id in calls else "", as_read(marked_text(each.content))
            )
            for each in results
        )
        yield {"role": "user", "content": "\n".join(texts)}
        return
    for number, each in enumerate(results):
        call = calls.get(each.call_id)
        name = call.name if call is not None else ""
        id = _id(ToolCallPart(each.call_id, name, "{}"), traits.format, number)
        yield {
            "role": "tool",
            "content": as_read(marked_text(each.content)),
            "name": name,
            "tool_call_id": id,
        }


def _valid(call: ToolCallPart) -> ToolCallPart:
    """Return the call with an object as arguments, because templates fail with others."""
    if as_object(call.arguments) is not None:
        return call
    return ToolCallPart(call.id, call.name, json.dumps({"arguments": call.arguments}))


def _with_ids(calls: Sequence[ToolCallPart], format: ToolFormat) -> list[ToolCallPart]:
    return [
        ToolCallPart(_id(call, format, number), call.name, call.arguments)
        for number, call in enumerate(calls)
    ]


def _id(call: ToolCallPart, format: ToolFormat, number: int) -> str:
    """Return an id that the format accepts: nine letters for Mistral, the name and a number for Kimi."""
    if format.name == "kimi":
        return call.id if call.id.startswith("functions.") else f"functions.{call.name}:{number}"
    if re.fullmatch(r"[A-Za-z0-9]{9}", call.id):
        return call.id
    return hashlib.sha256(call.id.encode()).hexdigest()[:9]


def _plain_call(call: ToolCallPart, text_arguments: bool) -> Dict:
    arguments: Any = call.arguments if text_arguments else as_object(call.arguments)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _typed(message: Dict, typed: bool) -> Dict:
    if not typed:
        return message
    return {**message, "content": [{"type": "text", "text": message["content"]}]}
