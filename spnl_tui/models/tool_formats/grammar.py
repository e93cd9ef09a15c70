"""Grammars that let a model reply with text or with valid tool calls.

They are written in llguidance's Lark (https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md). A
lazy lexeme takes the text up to a call's marker; after the marker only a valid call matches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from spnl_tui.models.request import Grammar
from spnl_tui.models.tool_formats.calls import Frame, ToolFormat
from spnl_tui.models.tools import Tool, ToolChoice

MOST_CALLS = 8
"""The most calls in one reply."""
_LONGEST_TEXT = 20_000
"""The most characters of a string argument if its schema sets no limit, because a small model may never end
it."""
_ON_ONE_LINE = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "lenient": True,  # schemas from servers may contain keywords unknown to llguidance
}


def call_grammar(
    format: ToolFormat,
    frame: Frame,
    tools: Sequence[Tool],
    choice: ToolChoice = "auto",
    tokens: Mapping[str, int] | None = None,
    *,
    most: int = MOST_CALLS,
) -> Grammar:
    """Return a grammar for a text, up to `most` calls, or a text followed by calls.

    `tokens` maps the texts of control tokens to ids, because no text in a grammar matches them.
    """
    known = tokens or {}
    head, _, tail = frame.before.partition("NAME")
    opening = frame.open + head
    marker = next((open for open in sorted(format.opens, key=len) if opening.startswith(open)), opening)
    rest = _terms(opening[len(marker) :], known)
    names = " | ".join(f"call{number}" for number in range(len(tools)))
    again = " ".join([*_terms(frame.between + head, known), f"({names})"])
    calls = " ".join([*rest, f"({names})", *_more(again, most), *_terms(frame.close, known)])
    lines = ["TEXT: /(.|\\n)*/"]
    if marker in known:
        text_or_calls = f"TEXT | TEXT? <[{known[marker]}]> {calls}"
    elif format.at_start:
        return _bare_grammar(frame, tools, choice, most)
    else:
        lines.append(f"to_call[lazy]: /(.|\\n)*{_escaped(marker)}/")
        text_or_calls = f"TEXT | to_call {calls}"
    forced = f"{' '.join(_terms(marker, known))} {calls}"
    start = {"auto": text_or_calls, "required": forced, "none": "TEXT"}[choice]
    if choice == "none":
        return Grammar("lark", f"start: {start}\n{lines[0]}\n")
    for number, tool in enumerate(tools):
        terms = [*_terms(tool.name + tail, known), f"arguments{number}", *_terms(frame.after, known)]
        lines.append(f"call{number}: {' '.join(terms)}")
        lines.append(f"arguments{number}: %json {json.dumps(_bound(tool.schema))}")
    return Grammar("lark", "\n".join([f"start: {start}", *lines]) + "\n")


def _bare_grammar(frame: Frame, tools: Sequence[Tool], choice: ToolChoice, most: int) -> Grammar:
    """Return a grammar for calls without a marker: only text that begins like a call must be a call.

    Other JSON may be the answer that the user asked for.
    """
    literals = [frame.before.replace("NAME", tool.name) for tool in tools]
    begun = "|".join(map(_escaped, literals))
    names = " | ".join(f"call{number}" for number in range(len(tools)))
    calls = " ".join([f"({names})", *_more(f"{json.dumps(frame.between)} ({names})", most)])
    start = {"auto": f"TEXT | {calls}", "required": calls, "none": "TEXT"}[choice]
    lines = [f"start: {start}", f"TEXT: /(.|\\n)*/ & ~/({begun})(.|\\n)*/"]
    for number, (tool, literal) in enumerate(zip(tools, literals, strict=True)):
        # Use one terminal, so that it takes precedence over the text.
        lines.append(f"BEGIN{number}: {json.dumps(literal)}")
        lines.append(f"call{number}: BEGIN{number} arguments{number} {json.dumps(frame.after)}")
        lines.append(f"arguments{number}: %json {json.dumps(_bound(tool.schema))}")
    return Grammar("lark", "\n".join(lines) + "\n")


def _more(call: str, most: int) -> list[str]:
    """Return the term for further calls, up to `most` calls in total."""
    return [f"({call}){{0,{most - 1}}}"] if most > 1 else []


def _terms(text: str, tokens: Mapping[str, int]) -> list[str]:
    """Return the text as terms of the grammar: control tokens by id, other text as strings."""
    words = sorted((word for word in tokens if word in text), key=len, reverse=True)
    pieces = re.split(f"({'|'.join(map(re.escape, words))})", text) if words else [text]
    return [f"<[{tokens[piece]}]>" if piece in tokens else json.dumps(piece) for piece in pieces if piece]


def _bound(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the object's schema without additional properties and with a maximum length for all strings."""
    bound: dict[str, Any] = _with_lengths(schema)
    bound.setdefault("type", "object")
    bound.setdefault("additionalProperties", False)
    bound["x-guidance"] = _ON_ONE_LINE
    return bound


def _with_lengths(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_lengths(each) for each in value]
    if not isinstance(value, dict):
        return value
    changed = {key: _with_lengths(each) for key, each in value.items()}
    if (
        changed.get("type") == "string"
        and not {"maxLength", "enum", "const", "pattern", "format"} & changed.keys()
    ):
        changed["maxLength"] = _LONGEST_TEXT
    return changed


def _escaped(text: str) -> str:
    return re.sub(r"([\\.^$|?*+()\[\]{}/])", r"\\\1", text).replace("\n", "\\n")
