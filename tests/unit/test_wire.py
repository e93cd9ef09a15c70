"""The wire: encoding, decoding and malformed lines."""

from __future__ import annotations

import pytest

from spnl_tui.engine.backend import ReplyChunk, ReplyFinished, Timing, Usage
from spnl_tui.engine.mistralrs import wire
from spnl_tui.models.parts import ToolCallPart
from spnl_tui.models.request import Grammar, Message, Sampling
from spnl_tui.models.tools import Tool
from tests.support.parts import ONE_OF_EACH


@pytest.mark.parametrize(
    "command",
    [
        wire.Load(id=1, format="gguf", directory="/models", files=("a.gguf", "b.gguf"), discard=3),
        wire.Chat(
            id=2,
            messages=(
                Message("system", "Be brief"),
                Message("user", "line\u2028separator \ud800 \x1b[31m"),
                Message("assistant", ONE_OF_EACH),
                Message("user", ""),
            ),
            sampling=Sampling(temperature=0, stop=("\n",), seed=7),
            grammar=Grammar("regex", "[a-z]+"),
            tools=(Tool(name="now"), Tool(name="read", description="Reads.")),
            tool_choice="required",
        ),
        wire.Tokenize(id=3, texts=("a", "")),
    ],
)
def test_encoded_command_decodes_to_itself(command: wire.Command) -> None:
    line = wire.encode_command(command)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert wire.decode_command(line) == command


@pytest.mark.parametrize(
    "event",
    [
        ReplyChunk(text="héllo\n", tokens=4),
        ReplyChunk(tool_calls=(ToolCallPart("call-1", "read_file", '{"path": "a"}'),), tokens=9),
        ReplyFinished(
            finish_reason="stop",
            usage=Usage(prompt_tokens=3, completion_tokens=4),
            timing=Timing(ttft_s=0.25),
        ),
        wire.Tokenized(counts=(1, 2)),
    ],
)
def test_encoded_event_decodes_with_its_command(event: wire.Event) -> None:
    line = wire.encode_event(7, event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert wire.decode_event(line) == (7, event)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"INFO mistralrs_core: loading\n",
        b"[]\n",
        b'{"id": 1}\n',
        b'{"type": "Nonsense", "id": 1}\n',
        b'{"type": "Cancel", "id": 1}\n',
        b'{"type": "Cancel", "id": 1, "target": 2, "more": 3}\n',
        b'{"type": "Cancel", "id": "1", "target": 2}\n',
        b'{"type": "ReplyChunk", "text": "no id"}\n',
        b'{"type": "ReplyChunk", "id": 1, "more": 3}\n',
        b'{"type": "Chat", "id": 1, "messages": [{"role": "user", "content": [{"type": "video"}]}]}\n',
        b'{"type": "Chat", "id": 1, "messages": [{"role": "robot", "content": ""}]}\n',
        b"\xff\xfe\n",
    ],
)
def test_malformed_line_raises_protocol_error(line: bytes) -> None:
    with pytest.raises(wire.ProtocolError):
        wire.decode_command(line)
    with pytest.raises(wire.ProtocolError):
        wire.decode_event(line)
