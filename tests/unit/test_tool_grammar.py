"""The grammar of each format: texts and valid calls match, other calls do not."""

from __future__ import annotations

import json

import pytest
from llguidance import LLMatcher, LLTokenizer

from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.tool_formats.calls import Frame, ToolFormat
from spnl_tui.models.tool_formats.grammar import call_grammar
from spnl_tui.models.tool_formats.table import TABLE
from spnl_tui.models.tools import Tool, ToolChoice

READ = Tool(
    name="read_file",
    parameters=json.dumps({
        "type": "object",
        "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}},
        "required": ["path"],
        "x-unknown": {"to": "llguidance"},
    }),
)  # fmt: skip
TOOLS = (READ, Tool(name="current_time"))
GOOD = ToolCallPart("", "read_file", '{"path": "a \\"b\\"\\n.txt", "lines": 3}')
NOW = ToolCallPart("", "current_time", "{}")
UNKNOWN = ToolCallPart("", "remove_all", "{}")
WRONG_TYPE = ToolCallPart("", "read_file", '{"path": 7}')
MISSING = ToolCallPart("", "read_file", '{"lines": 7}')
TOO_MANY = ToolCallPart("", "current_time", '{"zone": "UTC"}')

FRAMED = [each for each in TABLE if each.frame is not None]


def matches(format: ToolFormat, text: str, choice: ToolChoice = "auto") -> bool:
    frame = format.frame
    assert isinstance(frame, Frame)
    tokenizer = LLTokenizer("byte")
    grammar = call_grammar(format, frame, TOOLS, choice)
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(grammar.text))
    assert not matcher.is_error(), matcher.get_error()
    tokens = tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


@pytest.mark.parametrize("format", FRAMED, ids=lambda format: format.name)
def test_grammar_matches_texts_and_valid_calls_only(format: ToolFormat) -> None:
    text = 'It says <b>x</b>, [1] and {"a": 2}.\n'
    for valid in (text, '{"name": "Bob", "age": 3}', format.write([GOOD]), format.write([NOW, GOOD])):
        assert matches(format, valid), valid
    if not format.at_start:
        assert matches(format, text + format.write([GOOD]))
    for call in (WRONG_TYPE, MISSING, TOO_MANY, UNKNOWN):
        # Without a marker, JSON that names no tool is a text.
        assert matches(format, format.write([call])) == (format.at_start and call is UNKNOWN)


@pytest.mark.parametrize("format", FRAMED, ids=lambda format: format.name)
def test_required_call_matches_no_text_and_none_matches_no_call(format: ToolFormat) -> None:
    assert matches(format, format.write([GOOD]), "required")
    assert not matches(format, "Hello", "required")
    assert matches(format, "Hello", "none")
