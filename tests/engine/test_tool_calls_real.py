"""The real model, whose template knows no tools: with the grammar, whatever it calls is a valid call."""

from __future__ import annotations

import json
from pathlib import Path

from spnl_tui.engine.backend import (
    Backend,
    ChatRequest,
    ModelHandle,
    ReplyChunk,
    ReplyFinished,
    RequestFailed,
)
from spnl_tui.engine.mistralrs.backend import MistralRsBackend
from spnl_tui.engine.mistralrs.handles import to_handle
from spnl_tui.load_planning import load_planner
from spnl_tui.models.files.local import resolve_local
from spnl_tui.models.parts import TextPart, ToolCallPart, ToolResultPart
from spnl_tui.models.request import Message, Sampling
from spnl_tui.models.tools import Tool, ToolChoice
from spnl_tui.paths import Paths
from spnl_tui.settings import Settings


def tool(name: str, description: str, **properties: object) -> Tool:
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return Tool(name=name, description=description, parameters=json.dumps(schema))


TOOLS = (
    tool("read_file", "Returns the text of a file.", path={"type": "string", "maxLength": 80}),
    tool("current_time", "Returns the date and the time."),
    tool("calculate", "Computes an expression.", expression={"type": "string", "maxLength": 80}),
    tool("set_light", "Switches a light.", room={"enum": ["kitchen", "hall"]}, on={"type": "boolean"}),
)
CHOICES: tuple[ToolChoice, ...] = ("auto", "required")
QUESTIONS = (
    "What is in notes.txt?",
    "What time is it now?",
    "Say hello.",
)


def is_valid(call: ToolCallPart) -> bool:
    arguments: dict[str, object] = json.loads(call.arguments)
    match call.name:
        case "read_file":
            return set(arguments) == {"path"} and isinstance(arguments["path"], str)
        case "current_time":
            return not arguments
        case "calculate":
            return set(arguments) == {"expression"} and isinstance(arguments["expression"], str)
        case "set_light":
            return str(arguments["room"]) in ("kitchen", "hall") and isinstance(arguments["on"], bool)
        case _:
            return False


async def replies(
    engine: Backend, model: ModelHandle, messages: tuple[Message, ...], choice: ToolChoice = "auto"
) -> tuple[str, tuple[ToolCallPart, ...]]:
    """Return the text and the calls of one reply."""
    request = ChatRequest(
        messages=messages,
        sampling=Sampling(temperature=0.8, max_tokens=120),
        tools=TOOLS,
        tool_choice=choice,
    )
    text = ""
    calls: tuple[ToolCallPart, ...] = ()
    async for event in engine.generate(model, request):
        assert not isinstance(event, RequestFailed), event
        if isinstance(event, ReplyChunk):
            text, calls = text + event.text, calls + event.tool_calls
        elif isinstance(event, ReplyFinished):
            assert (event.finish_reason == "tool_calls") == bool(calls)
    return text, calls


async def test_every_call_of_the_smallest_model_is_valid(starter_gguf: Path, tmp_path: Path) -> None:
    engine = MistralRsBackend(load_planner(Settings()), Paths.below(tmp_path))
    model = to_handle(resolve_local(starter_gguf, "starter"))
    try:
        for question in QUESTIONS:
            for choice in CHOICES:
                _, found = await replies(engine, model, (Message("user", question),), choice)
                assert all(map(is_valid, found)), found
                assert choice == "auto" or len(found) == 1
        call = ToolCallPart("abcdefghi", "read_file", '{"path": "notes.txt"}')
        asked = (
            Message("user", "What is in notes.txt?"),
            Message("assistant", (call,)),
            Message("tool", (ToolResultPart(call.id, (TextPart("The meeting is on Monday."),)),)),
        )
        text, _ = await replies(engine, model, asked, "none")
        assert text.strip()
    finally:
        await engine.close()
