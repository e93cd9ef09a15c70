"""Formats whose arguments are not JSON: Python calls, XML elements, Gemma's braces."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.tool_formats.calls import NAME, Parsed, call_of, skip_any, skip_space, typed
from spnl_tui.models.tools import Tool

# ── Python calls ─────────────────────────────────────────────────────────────────────────────────

_LITERALS = {"true": True, "false": False, "null": None, "none": None}


def parse_pythonic(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse `[name(key="value"), …]`, with or without a marker around it."""
    markers = ("<|python_start|>", "<|tool_call_start|>", "<|python_tag|>")
    start = skip_any(text, 0, markers)
    marked = start > 0
    start = skip_space(text, start)
    end = _end_of_list(text, start)
    if end is None:
        return None
    calls = _python_calls(text[start:end])
    if not calls or not (marked or all(call.name in tools for call in calls)):
        return None
    return Parsed(calls, skip_any(text, end, ("<|python_end|>", "<|tool_call_end|>")))


def _python_calls(text: str) -> tuple[ToolCallPart, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in strings cause warnings
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    found = tree.elts if isinstance(tree, ast.List) else [tree]
    calls = [_python_call(each) for each in found]
    known = tuple(call for call in calls if call is not None)
    return known if len(known) == len(calls) else ()


def _python_call(node: ast.expr) -> ToolCallPart | None:
    if not isinstance(node, ast.Call) or node.args or any(each.arg is None for each in node.keywords):
        return None
    try:
        return call_of(
            ast.unparse(node.func), {str(each.arg): _python_value(each.value) for each in node.keywords}
        )
    except ValueError:
        return None


def _python_value(node: ast.expr) -> Any:
    """Return the value of a literal; JSON's `true`, `false` and `null` are accepted."""
    match node:
        case ast.Name(id=name) if name.lower() in _LITERALS:
            return _LITERALS[name.lower()]
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_python_value(each) for each in elements]
        case ast.Dict(keys=keys, values=values) if all(key is not None for key in keys):
            pairs = zip(keys, values, strict=True)
            return {str(_python_value(key)): _python_value(value) for key, value in pairs if key is not None}
        case _:
            value = ast.literal_eval(node)
            json.dumps(value)  # rejects bytes and sets, which are not JSON
            return value


def _end_of_list(text: str, start: int) -> int | None:
    """Return the end of the list or call that begins at `start`; None if it is incomplete."""
    if start >= len(text) or not (text[start] == "[" or NAME.match(text, start)):
        return None
    depth, quote, at = 0, "", start
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "\"'":
            quote = letter
        elif letter in "[({":
            depth += 1
        elif letter in "])}":
            depth -= 1
            if depth == 0:
                return at + 1
        elif depth == 0 and letter.isspace():
            return None
        at += 1
    return None


def write_pythonic(calls: Sequence[ToolCallPart], before: str = "", after: str = "") -> str:
    """Return the calls as a list of Python calls."""
    written = []
    for call in calls:
        pairs = ", ".join(f"{name}={value!r}" for name, value in json.loads(call.arguments).items())
        written.append(f"{call.name}({pairs})")
    return f"{before}[{', '.join(written)}]{after}"


# ── XML elements ─────────────────────────────────────────────────────────────────────────────────

_FUNCTION = re.compile(
    r"\s*(?:<tool_call>\s*)?<function=([^>\s]+)>(.*?)</function>\s*(?:</tool_call>)?", re.DOTALL
)
_PARAMETER = re.compile(r"\s*<parameter=([^>\s]+)>(.*?)</parameter>", re.DOTALL)


def parse_xml(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse one or more `<function=NAME><parameter=KEY>value</parameter></function>`."""
    calls: list[ToolCallPart] = []
    end = 0
    while (found := _FUNCTION.match(text, end)) is not None:
        name, body = found.groups()
        values = {
            key: typed(_without_frame(value), key, tools.get(name)) for key, value in _PARAMETER.findall(body)
        }
        call = call_of(name, values)
        if call is None:
            break
        calls.append(call)
        end = found.end()
    return Parsed(tuple(calls), end) if calls else None


def _without_frame(value: str) -> str:
    """Return the value without the line breaks at its beginning and end."""
    return value.removeprefix("\n").removesuffix("\n")


def write_xml(calls: Sequence[ToolCallPart]) -> str:
    """Return the calls in Qwen3-Coder's format."""
    return "\n".join(
        f"<tool_call>\n<function={call.name}>\n"
        + "".join(
            f"<parameter={key}>\n{value if isinstance(value, str) else json.dumps(value)}\n</parameter>\n"
            for key, value in json.loads(call.arguments).items()
        )
        + "</function>\n</tool_call>"
        for call in calls
    )


_GLM = re.compile(
    r"\s*<tool_call>\s*([\w.:/-]+)\s*?(?:\n|(?=<arg_key>)|(?=</tool_call>))(.*?)</tool_call>", re.DOTALL
)
_GLM_ARGUMENT = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)


def parse_glm(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse one or more `<tool_call>NAME<arg_key>…</arg_key><arg_value>…</arg_value></tool_call>`."""
    calls: list[ToolCallPart] = []
    end = 0
    while (found := _GLM.match(text, end)) is not None:
        name, body = found.groups()
        pairs = _GLM_ARGUMENT.findall(body)
        call = call_of(
            name, {key.strip(): typed(value, key.strip(), tools.get(name)) for key, value in pairs}
        )
        if call is None:
            break
        calls.append(call)
        end = found.end()
    return Parsed(tuple(calls), end) if calls else None


def write_glm(calls: Sequence[ToolCallPart]) -> str:
    """Return the calls in GLM 4.5's format."""
    return "\n".join(
        f"<tool_call>{call.name}\n"
        + "".join(
            f"<arg_key>{key}</arg_key>\n"
            f"<arg_value>{value if isinstance(value, str) else json.dumps(value)}</arg_value>\n"
            for key, value in json.loads(call.arguments).items()
        )
        + "</tool_call>"
        for call in calls
    )


# ── Gemma ────────────────────────────────────────────────────────────────────────────────────────

_GEMMA_CALL = re.compile(r"\s*(?:<\|tool_call>|<start_function_call>)\s*call:\s*([\w.:/-]+?)\s*(?=\{)")
_GEMMA_CLOSE = ("<tool_call|>", "<end_function_call>")
_GEMMA_QUOTES = ('<|"|>', "<escape>", '"')
_GEMMA_BARE = re.compile(r"[^,{}\[\]:]*")


def parse_gemma(text: str, tools: Mapping[str, Tool]) -> Parsed | None:
    """Parse `<|tool_call>call:NAME{key:<|"|>value<|"|>}<tool_call|>`, or the same with FunctionGemma's
    markers."""
    calls: list[ToolCallPart] = []
    end = 0
    while (head := _GEMMA_CALL.match(text, end)) is not None:
        try:
            value, at = _gemma_value(text, head.end(), 0)
        except ValueError:
            break
        call = call_of(head.group(1), value)
        if call is None:
            break
        calls.append(call)
        end = skip_any(text, at, _GEMMA_CLOSE)
    return Parsed(tuple(calls), end) if calls else None


def _gemma_value(text: str, at: int, depth: int) -> tuple[Any, int]:
    at = skip_space(text, at)
    if depth > 50:
        raise ValueError("nested too deeply")
    for quote in _GEMMA_QUOTES:
        if text.startswith(quote, at):
            close = text.index(quote, at + len(quote))
            return text[at + len(quote) : close], close + len(quote)
    if text.startswith(("{", "["), at):
        return _gemma_group(text, at, depth)
    bare = _GEMMA_BARE.match(text, at)
    assert bare is not None
    word = bare.group().strip()
    if not word or bare.end() == len(text):
        raise ValueError("the value is incomplete")
    return typed(word, "", None), bare.end()


def _gemma_group(text: str, at: int, depth: int) -> tuple[Any, int]:
    is_object, close = text[at] == "{", "}" if text[at] == "{" else "]"
    pairs: dict[str, Any] = {}
    values: list[Any] = []
    at = skip_space(text, at + 1)
    while not text.startswith(close, at):
        key = ""
        if is_object:
            key, at = _gemma_key(text, at)
        value, at = _gemma_value(text, at, depth + 1)
        pairs[key] = value
        values.append(value)
        after = skip_any(text, at, (",",))
        at = skip_space(text, after)
        if not text.startswith(close, at) and after == at == len(text):
            raise ValueError("the list is incomplete")
    return (pairs if is_object else values), at + 1


def _gemma_key(text: str, at: int) -> tuple[str, int]:
    for quote in _GEMMA_QUOTES:
        if text.startswith(quote, at):
            close = text.index(quote, at + len(quote))
            colon = text.index(":", close)
            return text[at + len(quote) : close], colon + 1
    colon = text.index(":", at)
    return text[at:colon].strip(), colon + 1


def write_gemma(calls: Sequence[ToolCallPart]) -> str:
    """Return the calls in Gemma 4's format."""
    return "".join(
        f"<|tool_call>call:{call.name}{_gemma_text(json.loads(call.arguments))}<tool_call|>" for call in calls
    )


def _gemma_text(value: Any) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{key}:{_gemma_text(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_gemma_text, value)) + "]"
        case str():
            return f'<|"|>{value}<|"|>'
        case _:
            return json.dumps(value)
