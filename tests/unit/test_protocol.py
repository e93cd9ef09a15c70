"""The wire: what is written is read back the same, and nonsense is refused."""

from __future__ import annotations

import pytest

from spnl_tui.engine.mistralrs import wire
from spnl_tui.models.request import Grammar, Message, Sampling


@pytest.mark.parametrize(
    "message",
    [
        wire.Load(id=1, format="gguf", directory="/models", files=("a.gguf", "b.gguf"), discard=3),
        wire.Chat(
            id=2,
            messages=(Message("system", "Be brief"), Message("user", "line\u2028separator \ud800 \x1b[31m")),
            sampling=Sampling(temperature=0, stop=("\n",), seed=7),
            grammar=Grammar("regex", "[a-z]+"),
        ),
        wire.Tokenize(id=3, texts=("a", "")),
        wire.ReplyChunk(id=2, text="héllo\n", tokens=4),
        wire.ReplyFinished(
            id=2,
            finish_reason="stop",
            usage=wire.Usage(prompt_tokens=3, completion_tokens=4),
            timing=wire.Timing(ttft_s=0.25),
        ),
    ],
)
def test_what_is_written_is_read_back(message: wire.Command | wire.Event) -> None:
    line = wire.encode(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert wire.decode(line) == message


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
        b'{"type": "Chat", "id": 1, "messages": [{"role": "robot", "content": ""}]}\n',
        b"\xff\xfe\n",
    ],
)
def test_nonsense_is_refused(line: bytes) -> None:
    with pytest.raises(wire.ProtocolError):
        wire.decode(line)
