"""Turns the terminal's bytes into keys and pastes.

Textual 8.2.8 has three defects here. A byte that is not UTF-8, such as one in a paste, ends its input
thread: https://github.com/Textualize/textual/issues/6456. No issue was found for the other two: a paste
that contains escape sequences, such as copied terminal output, arrives in another order; and two Alt keys
in one read become the characters of their sequences. The rest is Textual's parser.
"""

from __future__ import annotations

import codecs
import os
import re
import selectors
from collections.abc import Generator, Iterator

from textual import events
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

_SEQUENCE = re.compile(
    r"""
      (?:\x1b\[ | \x9b) [0-?]* [ -/]* [@-~]            # colours, movements: CSI
    | \x1b [\]PX^_] [^\x07\x1b]* (?:\x07 | \x1b\\)     # titles, links: OSC and the like
    | \x1b [ -/]* [0-~]?                               # the others
    """,
    re.VERBOSE,
)
"""An escape sequence (ECMA-48)."""
_LAST = len(BRACKETED_PASTE_START) - 1
_BEFORE_ESCAPE = re.compile(r"(?=\x1b)")


class TerminalInput:
    """Parses the terminal's bytes, which may arrive in arbitrary pieces."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._parser = _Parser()
        self._last = ""
        """The last characters, which may be an incomplete mark of the start or end of a paste."""
        self._pasted: list[str] | None = None
        """The pieces of an unfinished paste; None outside a paste."""

    def take(self, data: bytes) -> Iterator[Message]:
        """Return the events that these bytes complete, together with earlier ones."""
        text = self._decode(data)
        while text:
            if self._pasted is None:
                text = yield from self._take_keys(text)
            else:
                text = yield from self._take_paste(text)

    def tick(self) -> Iterator[Message]:
        """Return the events whose time to wait for more bytes has passed, such as Escape alone.

        Call it often.
        """
        return map(_without_character, self._parser.tick())

    def _take_keys(self, text: str) -> Generator[Message, None, str]:
        """Append the keys, and return the text after the start of a paste."""
        begin = (self._last + text).find(BRACKETED_PASTE_START)
        if begin < 0:
            self._last = (self._last + text)[-_LAST:]
            keys, rest = text, ""
        else:
            after = begin + len(BRACKETED_PASTE_START) - len(self._last)
            keys, rest = text[:after], text[after:]
            self._last, self._pasted = "", []
        for piece in filter(None, _BEFORE_ESCAPE.split(keys)):
            if piece[0] == "\x1b":
                yield from map(_without_character, self._parser.settle())
            yield from map(_without_character, self._parser.feed(piece))
        return rest

    def _take_paste(self, text: str) -> Generator[Message, None, str]:
        """Append the paste once it is complete, and return the text after it."""
        assert self._pasted is not None
        text = self._last + text
        pasted, end, rest = text.partition(BRACKETED_PASTE_END)
        if not end:
            self._pasted.append(text[:-_LAST])
            self._last = text[-_LAST:]
            return ""
        whole = "".join((*self._pasted, pasted))
        self._last, self._pasted = "", None
        yield from self._parser.feed(_SEQUENCE.sub("", whole) + end)
        return rest


class _Parser(XTermParser):
    def settle(self) -> Iterator[Message]:
        """End an unfinished sequence, because nothing more of it will arrive."""
        if self._timeout_time is not None:
            self._timeout_time = 0.0
        yield from self.tick()


def _without_character(message: Message) -> Message:
    # A text area would insert it if the key had no binding.
    if isinstance(message, events.Key) and message.key.startswith("alt+"):
        message.character = None
    return message


class TerminalDriver(LinuxDriver):
    """Textual's driver for Linux and macOS with this parser."""

    def run_input_thread(self) -> None:
        """Read the terminal and post its events until the program ends."""
        reader = TerminalInput()
        with selectors.DefaultSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(0.1):
                    if data := os.read(self.fileno, 1 << 16):
                        for message in reader.take(data):
                            self.process_message(message)
                    else:
                        self.exit_event.wait(0.1)  # the end of the input; see `leaving`
                for message in reader.tick():
                    self.process_message(message)
