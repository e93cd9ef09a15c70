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
    """Takes what comes from the terminal, in whatever pieces."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._parser = _Parser()
        self._last = ""
        """The last characters, which may begin the mark of a paste, or of its end."""
        self._pasted: list[str] | None = None
        """What has come of a paste before these, if there is one."""

    def take(self, data: bytes) -> Iterator[Message]:
        """What these bytes are, together with those before."""
        text = self._decode(data)
        while text:
            if self._pasted is None:
                text = yield from self._take_keys(text)
            else:
                text = yield from self._take_paste(text)

    def tick(self) -> Iterator[Message]:
        """What is not to be waited for any longer: Escape, of which nothing more has come. Call it often."""
        return map(_without_character, self._parser.tick())

    def _take_keys(self, text: str) -> Generator[Message, None, str]:
        """Give the keys, and return what follows the beginning of a paste."""
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
        """Give the paste once all of it has come, and return what follows."""
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
        """Nothing more comes of the sequence that has begun, if one has."""
        if self._timeout_time is not None:
            self._timeout_time = 0.0
        yield from self.tick()


def _without_character(message: Message) -> Message:
    # A text area would write it where the key is bound to nothing.
    if isinstance(message, events.Key) and message.key.startswith("alt+"):
        message.character = None
    return message


class TerminalDriver(LinuxDriver):
    """Textual's driver for Linux and macOS, with this input."""

    def run_input_thread(self) -> None:
        """Read the terminal, and post what comes, until the program ends."""
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
