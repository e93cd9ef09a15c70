"""What a terminal sends, in whatever pieces it comes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from textual import constants, events
from textual.message import Message

from spnl_tui.ui.textual_patches.terminal_input import TerminalInput

PASTE = "\x1b[200~{}\x1b[201~"


def said(messages: Iterable[Message]) -> list[str]:
    """The keys, and what was pasted in quotes."""
    found = []
    for message in messages:
        if isinstance(message, events.Key):
            found.append(message.key)
        elif isinstance(message, events.Paste):
            found.append(repr(message.text))
    return found


def taken(*pieces: bytes | str) -> list[str]:
    reader = TerminalInput()
    found: list[Message] = []
    for piece in pieces:
        found += reader.take(piece.encode() if isinstance(piece, str) else piece)
    return said(found)


def one_by_one(text: str) -> list[str]:
    return taken(*(bytes([byte]) for byte in text.encode()))


@pytest.mark.parametrize(
    ("pasted", "text"),
    [
        ("first \x1b[31mred\x1b[0m end", "first red end"),
        ("one \x1b[A two \x1b(B three", "one  two  three"),
        ("\x1b]0;title\x07prompt \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "prompt link"),
        ("an open \x1b]title\nand more", "an open title\nand more"),
        ("eight bits \x9b31mred", "eight bits red"),
        ("at the end \x1b", "at the end "),
        ("[200~ and [201~ are text", "[200~ and [201~ are text"),
        ("", ""),
        ("日本 🙂", "日本 🙂"),
    ],
)
def test_paste_keeps_its_order_and_loses_escape_sequences(pasted: str, text: str) -> None:
    sent = "a" + PASTE.format(pasted) + "b"
    assert taken(sent) == ["a", repr(text), "b"]
    assert one_by_one(sent) == ["a", repr(text), "b"]
    for cut in range(len(sent)):
        assert taken(sent[:cut], sent[cut:]) == ["a", repr(text), "b"]


def test_bytes_that_are_not_text_are_replaced() -> None:
    assert taken(b"\x1b[200~caf\xe9 au\xff lait\x1b[201~") == [repr("caf\ufffd au\ufffd lait")]
    assert taken(b"caf\xe9!")[-1] == "exclamation_mark"
    assert taken(b"\xe6\x97", b"\xa5") == ["日"]


def test_alt_keys_received_together_are_two_keys() -> None:
    reader = TerminalInput()
    found = [*reader.take(b"\x1bt\x1bu\x1bz")]
    reader._parser._timeout_time = 0.0  # as after a while
    found += reader.tick()
    assert said(found) == ["alt+t", "alt+u", "alt+z"]
    assert not any(isinstance(key, events.Key) and key.is_printable for key in found)


def test_escape_is_a_key_after_a_pause_and_sequences_are_whole_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ESCAPE_DELAY", 0.0)
    reader = TerminalInput()
    assert said(reader.take(b"\x1b")) == []
    assert said(reader.tick()) == ["escape"]
    assert taken("\x1b[A\x1b[1;3Cx", "\x1bOP") == ["up", "alt+right", "x", "f1"]
    assert taken("\x1b[1;", "3C") == ["alt+right"]
    assert taken("\x1b\x1b[A") == ["escape", "up"]
