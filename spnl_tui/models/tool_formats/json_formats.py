"""Formats whose arguments are JSON. `table.py` names the families that use them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.tool_formats.calls import (
    NAME,
    Parse,
    Parsed,
    call_of,
    call_of_json,
    calls_of_json,
    json_at,
    skip_any,
    skip_space,
)
from spnl_tui.models.tools import Tool


def repeated(
    opens: Sequence[str],
    closes: Sequence[str],
    body: Callable[[str, int], tuple[tuple[ToolCallPart, ...], int] | None],
) -> Parse:
    """Return a parser for one or more repetitions of `open body close`. The last close may be missing."""

    def parse(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
        calls: list[ToolCallPart] = []
        end = at = 0
        while (inside := skip_any(text, at, opens)) != at:
            found = body(text, inside)
            if found is None:
                break
            calls += found[0]
            end = at = skip_any(text, found[1], closes)
        return Parsed(tuple(calls), end) if calls else None

    return parse


def json_body(text: str, at: int) -> tuple[tuple[ToolCallPart, ...], int] | None:
    """Parse an object or a list of objects that describe calls."""
    if (found := json_at(text, at)) is None or not (calls := calls_of_json(found[0])):
        return None
    return calls, found[1]


def parse_bare(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse `{"name": …, "parameters": {…}}`, or several separated by `;`.

    Such JSON may also be the answer that the user asked for, so it is a call only if it names a tool.
    """
    at = end = skip_any(text, 0, ("<|python_tag|>",))
    marked = at > 0
    calls: list[ToolCallPart] = []
    while (found := json_at(text, at)) is not None:
        here = calls_of_json(found[0])
        if not here or not (marked or all(call.name in tools for call in here)):
            break
        calls += here
        end = found[1]
        at = skip_any(text, end, (";", ","))
    return Parsed(tuple(calls), end) if calls else None


def parse_mistral(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse `[TOOL_CALLS][{…}, …]`, or one or more `[TOOL_CALLS]NAME[ARGS]{…}`."""
    calls: list[ToolCallPart] = []
    end = at = 0
    while (inside := skip_any(text, at, ("[TOOL_CALLS]",))) != at:
        if (listed := json_body(text, inside)) is not None:
            calls += listed[0]
            end = at = listed[1]
            continue
        name = NAME.match(text, skip_space(text, inside))
        if name is None:
            break
        place, id = name.end(), ""
        if text.startswith("[CALL_ID]", place):
            found_id = re.compile(r"\w*").match(text, place + len("[CALL_ID]"))
            assert found_id is not None
            id, place = found_id.group(), found_id.end()
        value = json_at(text, skip_any(text, place, ("[ARGS]",)))
        call = None if value is None else call_of(name.group(), value[0], id)
        if value is None or call is None:
            break
        calls.append(call)
        end = at = value[1]
    return Parsed(tuple(calls), end) if calls else None


_DEEPSEEK_OPEN = "<｜tool▁call▁begin｜>"
_DEEPSEEK_SEP = "<｜tool▁sep｜>"
_FENCE = re.compile(r"\s*```(?:json)?\s*")


def _deepseek_body(text: str, at: int) -> tuple[tuple[ToolCallPart, ...], int] | None:
    """Parse `function<sep>NAME` and fenced JSON (V3, R1), or `NAME<sep>{…}` (V3.1)."""
    sep = text.find(_DEEPSEEK_SEP, at)
    if sep < 0:
        return None
    name, place = text[at:sep].strip(), sep + len(_DEEPSEEK_SEP)
    fenced = False
    if name == "function" and (after := NAME.match(text, skip_space(text, place))) is not None:
        fence = _FENCE.match(text, after.end())
        if fence is not None and fence.group().strip():
            name, place, fenced = after.group(), fence.end(), True
    value = json_at(text, place)
    call = None if value is None else call_of(name, value[0])
    if value is None or call is None:
        return None
    return (call,), skip_any(text, value[1], ("```",)) if fenced else value[1]


def parse_deepseek(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse DeepSeek's section of calls."""
    start = skip_any(text, 0, ("<｜tool▁calls▁begin｜>",))
    parsed = repeated([_DEEPSEEK_OPEN], ["<｜tool▁call▁end｜>"], _deepseek_body)(text[start:], tools)
    return None if parsed is None else _closed(text, start, parsed, "<｜tool▁calls▁end｜>")


_KIMI_ID = re.compile(r"\s*(?:functions\.)?([\w.-]+?)(?::(\d+))?\s*<\|tool_call_argument_begin\|>")


def _kimi_body(text: str, at: int) -> tuple[tuple[ToolCallPart, ...], int] | None:
    """Parse `functions.NAME:NUMBER<|tool_call_argument_begin|>{…}`."""
    head = _KIMI_ID.match(text, at)
    value = None if head is None else json_at(text, head.end())
    if head is None or value is None:
        return None
    id = f"functions.{head.group(1)}:{head.group(2)}" if head.group(2) else ""
    call = call_of(head.group(1), value[0], id)
    return None if call is None else ((call,), value[1])


def parse_kimi(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse Kimi's section of calls."""
    start = skip_any(text, 0, ("<|tool_calls_section_begin|>", "<|tool_call_section_begin|>"))
    parsed = repeated(["<|tool_call_begin|>"], ["<|tool_call_end|>"], _kimi_body)(text[start:], tools)
    return None if parsed is None else _closed(text, start, parsed, "<|tool_calls_section_end|>")


def write_kimi(calls: Sequence[ToolCallPart]) -> str:
    """Return the calls in Kimi's format."""
    numbers = count()
    written = "".join(
        f"<|tool_call_begin|>functions.{call.name}:{next(numbers)}"
        f"<|tool_call_argument_begin|>{call.arguments}<|tool_call_end|>"
        for call in calls
    )
    return f"<|tool_calls_section_begin|>{written}<|tool_calls_section_end|>"


def _closed(text: str, start: int, parsed: Parsed, close: str) -> Parsed:
    return Parsed(parsed.calls, skip_any(text, start + parsed.end, (close,)))


_HARMONY_CALL = re.compile(r"\s*to=(?:functions\.)?([\w.:/-]+)[^\n{]*?<\|message\|>", re.DOTALL)


def parse_harmony(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse `to=functions.NAME<|message|>{…}<|call|>`, the form in which the runner passes on Harmony's
    calls."""
    calls: list[ToolCallPart] = []
    end = 0
    while (head := _HARMONY_CALL.match(text, end)) is not None:
        value = json_at(text, head.end())
        call = None if value is None else call_of(head.group(1), value[0])
        if value is None or call is None:
            break
        calls.append(call)
        end = skip_any(text, value[1], ("<|call|>",))
    return Parsed(tuple(calls), end) if calls else None


_ACTION = re.compile(r"\s*Action:\s*```(?:json)?\s*|\s*<\|START_ACTION\|>")


def parse_command_r(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse a list of actions in `<|START_ACTION|>`, or in a fence after `Action:`.

    The action `directly_answer` is not a call.
    """
    head = _ACTION.match(text)
    found = None if head is None else json_at(text, head.end())
    if found is None or not isinstance(found[0], list):
        return None
    actions = [each for each in found[0] if not _is_answer(each)]
    calls = [call_of_json(each) for each in actions]
    known = tuple(call for call in calls if call is not None)
    if not known or len(known) < len(calls):
        return None
    return Parsed(known, skip_any(text, found[1], ("<|END_ACTION|>", "```")))


def _is_answer(action: object) -> bool:
    return isinstance(action, dict) and action.get("tool_name") in ("directly_answer", "directly-answer")


def write_command_r(calls: Sequence[ToolCallPart]) -> str:
    """Return the calls in Command A's format."""
    actions = [
        {"tool_call_id": str(number), "tool_name": call.name, "parameters": json.loads(call.arguments)}
        for number, call in enumerate(calls)
    ]
    return f"<|START_ACTION|>{json.dumps(actions, ensure_ascii=False)}<|END_ACTION|>"
