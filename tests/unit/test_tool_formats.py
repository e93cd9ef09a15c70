"""Tool calls in the format of each family: found in its template, written into prompts, read from replies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spnl_tui.engine.mistralrs import wire
from spnl_tui.models.parts import TextPart, ToolCallPart, ToolResultPart
from spnl_tui.models.request import Message
from spnl_tui.models.tool_formats.calls import ToolFormat
from spnl_tui.models.tool_formats.table import TABLE
from spnl_tui.models.tools import Tool
from tests.support.tool_families import ToolFamily, formats_table, tool_families

READ = Tool(
    name="read_file",
    description="Reads a file.",
    parameters=json.dumps({
        "type": "object",
        "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}},
        "required": ["path"],
    }),
)  # fmt: skip
NOW = Tool(name="current_time", description="Returns the time.")
TOOLS = (READ, NOW)
CALL = ToolCallPart("abcdefghi", "read_file", '{"path": "a.txt"}')
SECOND = ToolCallPart("call_0123456789", "read_file", '{"path": "b \\"c\\"\\n.txt", "lines": 3}')
HISTORY = (
    Message("system", "Answer in verse."),
    Message("user", "What is in a.txt?"),
    Message("assistant", [TextPart("Let me look."), CALL, SECOND]),
    Message("tool", [
        ToolResultPart("abcdefghi", (TextPart("forty-two"),)),
        ToolResultPart("call_0123456789", (TextPart("forty-three"),)),
    ]),
)  # fmt: skip


by_family = pytest.mark.parametrize("family", tool_families(), ids=lambda family: family.name)


def command(*messages: Message, tools: tuple[Tool, ...] = TOOLS) -> wire.Chat:
    return wire.Chat(id=1, messages=messages or HISTORY[:2], tools=tools)


def calls_of(chunks) -> list[tuple[str, object]]:
    return [(call.name, json.loads(call.arguments)) for chunk in chunks for call in chunk.tool_calls]


@by_family
def test_format_of_each_family_is_found_in_its_template(family: ToolFamily) -> None:
    traits = family.writer().tool_traits
    assert (traits.format.name, traits.shows_tools) == (family.format, family.shows_tools)


@by_family
def test_tools_calls_and_results_are_in_the_prompt(family: ToolFamily) -> None:
    prompt = family.writer().write(HISTORY, tools=TOOLS)
    for word in ("read_file", "current_time", "Answer in verse", "a.txt", "forty-two", "forty-three"):
        assert word in prompt
    assert prompt.index("What is in a.txt?") < prompt.rindex("forty-two")


@by_family
def test_call_in_the_models_format_is_parsed_while_streaming(family: ToolFamily) -> None:
    before = "" if family.format in ("llama", "pythonic", "harmony") else "I look.\n"
    chunks, finished, _ = family.read(command(), before + family.reply)
    assert calls_of(chunks) == [("read_file", {"path": "a.txt"})]
    assert "".join(chunk.text for chunk in chunks).strip() == before.strip()
    assert finished.finish_reason == "tool_calls"


@by_family
def test_text_reply_stays_text(family: ToolFamily) -> None:
    text = 'It says <b>x</b>, [1] and {"a": 2}.'
    start = "<|channel|>final<|message|>" if family.format == "harmony" else ""
    chunks, finished, _ = family.read(command(), start + text)
    assert "".join(chunk.text for chunk in chunks) == text
    assert (calls_of(chunks), finished.finish_reason) == ([], "stop")


@by_family
def test_call_that_is_cut_off_stays_text(family: ToolFamily) -> None:
    chunks, finished, _ = family.read(command(), family.reply[: family.reply.index("a.txt") + 2])
    assert (calls_of(chunks), finished.finish_reason) == ([], "stop")


@by_family
def test_invented_result_after_a_call_is_not_read(family: ToolFamily) -> None:
    chunks, _, _ = family.read(command(), family.reply + "\nThe file says that all is well. " * 3)
    assert calls_of(chunks) == [("read_file", {"path": "a.txt"})]
    assert "all is well" not in "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize("format", TABLE, ids=lambda format: format.name)
def test_calls_that_a_format_writes_are_read_back(format: ToolFormat) -> None:
    parsed = format.parse(format.write([CALL, SECOND]), {tool.name: tool for tool in TOOLS})
    assert parsed is not None
    assert [(each.name, json.loads(each.arguments)) for each in parsed.calls] == [
        (each.name, json.loads(each.arguments)) for each in (CALL, SECOND)
    ]


def test_documented_table_is_made_from_the_tested_formats() -> None:
    docs = Path(__file__).parents[2] / "docs" / "tools.md"
    assert formats_table() in docs.read_text("utf-8")
