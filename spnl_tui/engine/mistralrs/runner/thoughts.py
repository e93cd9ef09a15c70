"""Separates a reply's thought from its text by the model's markers. Standard library only.

Only real markers count: the marker's token, or its text if the vocabulary has no such token; and only before
the first word of the reply, where a thought can begin. Elsewhere the model is only writing about markers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from spnl_tui.engine.mistralrs.runner.stops import overlap
from spnl_tui.models.prompts.thought_markers import HARMONY, ThoughtMarkers

_HELD_BY_ENGINE = "<unused9"
"""The beginning of the markers for which mistral.rs itself searches.

It sends each together with the text that follows it.
"""


class Piece(NamedTuple):
    """A part of a reply."""

    text: str = ""
    thought: str = ""


class Splitter(Protocol):
    """Splits a reply as it streams."""

    ended: bool
    """True once the reply is over; later text is ignored."""

    def feed(self, text: str) -> Piece:
        """Return the thought and text that this chunk adds to the reply."""
        ...

    def rest(self) -> Piece:
        """Return the rest that was held back. Call it at the end."""
        ...


class _Item(NamedTuple):
    kind: Literal["text", "marker", "hidden", "end"]
    text: str


class _Scanner:
    """Finds markers in chunks: as tokens, which are whole chunks, or else in the text."""

    def __init__(
        self,
        markers: Collection[str],
        tokens: Collection[str],
        hidden: Collection[str],
        ends: Collection[str],
    ) -> None:
        self._written = [marker for marker in markers if marker not in tokens]
        self._kinds: dict[str, Literal["marker", "hidden", "end"]] = {
            **dict.fromkeys(hidden, "hidden"),
            **dict.fromkeys((marker for marker in markers if marker in tokens), "marker"),
            **dict.fromkeys(ends, "end"),
        }
        self._held = ""

    def feed(self, chunk: str) -> Iterator[_Item]:
        before, token = self._token(chunk)
        self._held += before
        yield from self._markers()
        if token is not None:
            yield from self.rest()
            yield _Item(self._kinds[token], token)

    def rest(self) -> Iterator[_Item]:
        if self._held:
            yield _Item("text", self._held)
        self._held = ""

    def _token(self, chunk: str) -> tuple[str, str | None]:
        """Return the text of a chunk, and the token that the chunk is or ends with."""
        if chunk in self._kinds:
            return "", chunk
        for length in range(1, len(_HELD_BY_ENGINE) + 1):
            if chunk.startswith(_HELD_BY_ENGINE[:length]) and chunk[length:] in self._kinds:
                return chunk[:length], chunk[length:]
        return chunk, None

    def _markers(self) -> Iterator[_Item]:
        while True:
            places = [(at, -len(m), m) for m in self._written if (at := self._held.find(m)) >= 0]
            if not places:
                break
            at, _, marker = min(places)
            if at:
                yield _Item("text", self._held[:at])
            yield _Item("marker", marker)
            self._held = self._held[at + len(marker) :]
        keep = max((overlap(self._held, marker) for marker in self._written), default=0)
        if text := self._held[: len(self._held) - keep]:
            yield _Item("text", text)
        self._held = self._held[len(self._held) - keep :]


class ThoughtSplitter:
    """Splits replies whose thoughts stand between an opening and a closing marker."""

    def __init__(
        self,
        thoughts: Sequence[ThoughtMarkers] = (),
        *,
        tokens: Collection[str] = (),
        hidden: Collection[str] = (),
        ends: Collection[str] = (),
        inside: ThoughtMarkers | None = None,
        begun: bool = False,
    ) -> None:
        """`tokens` are all special tokens of the vocabulary: of these, `hidden` are never text and `ends` end
        the reply.

        `inside` gives the markers if the reply begins within a thought. `begun` is True if the reply
        continues a text, in which no thought can begin.
        """
        words = {word for each in thoughts for word in (each.open, each.close)}
        self._scanner = _Scanner(words, tokens, hidden, ends)
        self._by_open = {each.open: each for each in thoughts}
        self._inside = inside
        self._heading = inside.heading if inside else ""
        self._at_start = not begun
        self._blank = ""
        """White space before the first word."""
        self._last = ""
        """The last character of the thought so far."""
        self._closing = False
        """True while the next character decides whether a marker closed the thought."""
        self.ended = False

    def feed(self, text: str) -> Piece:
        return self._sum(self._scanner.feed(text))

    def rest(self) -> Piece:
        return self._sum(self._scanner.rest())

    def _sum(self, items: Iterator[_Item]) -> Piece:
        text = thought = ""
        for item in items:
            if self.ended:
                break
            new = self._take(item)
            text, thought = text + new.text, thought + new.thought
        return Piece(text, thought)

    def _take(self, item: _Item) -> Piece:
        if item.kind == "end":
            self.ended = True
            return Piece()
        if item.kind == "hidden":
            return Piece()
        if self._closing:
            return self._decide(item)
        if self._inside is not None:
            if item.text == self._inside.close and item.kind == "marker":
                if self._last == "`":  # a quoted `</think>`, or a thought that ends with code
                    self._closing = True
                else:
                    self._inside = None
                return Piece()
            return self._think(item.text)
        if not self._at_start:
            return Piece(item.text)
        if item.kind == "marker" and item.text in self._by_open:
            self._inside, self._blank = self._by_open[item.text], ""
            self._heading, self._last = self._inside.heading, ""
            return Piece()
        return self._begin(item.text)

    def _decide(self, item: _Item) -> Piece:
        assert self._inside is not None
        close, self._closing = self._inside.close, False
        if item.text.startswith("`"):
            return self._think(close + item.text)
        self._inside = None
        return self._take(item)

    def _think(self, text: str) -> Piece:
        if self._heading:
            # The heading may arrive split over several chunks.
            if text.startswith(self._heading):
                text, self._heading = text[len(self._heading) :], ""
            elif self._heading.startswith(text):
                self._heading = self._heading[len(text) :]
                text = ""
            else:
                self._heading = ""
        self._last = text[-1:] or self._last
        return Piece(thought=text)

    def _begin(self, text: str) -> Piece:
        """Return the first words without preceding empty lines."""
        text = self._blank + text
        if not text.strip():
            self._blank = text
            return Piece()
        self._at_start, self._blank = False, ""
        start = len(text) - len(text.lstrip())
        return Piece(text[text.rfind("\n", 0, start) + 1 :])


class HarmonySplitter:
    """Splits replies in OpenAI's Harmony format: `final` is the reply; other channels are thoughts.

    <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>
    """

    def __init__(
        self,
        *,
        tokens: Collection[str] = (),
        hidden: Collection[str] = (),
        channel: str | None = None,
        calls: bool = False,
    ) -> None:
        """`channel` is the one that the prompt has opened, if any.

        With `calls`, a commentary for a tool stays in the text as `to=NAME<|message|>…<|call|>`; otherwise it
        is dropped.
        """
        self._calls = calls
        self._recipient = ""
        self._scanner = _Scanner(HARMONY, tokens, hidden, ())
        self._channel = channel
        self._header: str | None = None
        """The part received between the start of a message and its text."""
        self._text = ThoughtSplitter()
        """Used only to remove blank lines before the reply."""
        self.ended = False

    def feed(self, text: str) -> Piece:
        return self._sum(self._scanner.feed(text))

    def rest(self) -> Piece:
        return self._sum(self._scanner.rest())

    def _sum(self, items: Iterator[_Item]) -> Piece:
        text = thought = ""
        for item in items:
            if self.ended:
                break
            if item.kind == "marker":
                if item.text == "<|call|>" and self._channel == "tool" and self._calls:
                    text += item.text
                self._mark(item.text)
            elif item.kind == "text":
                if self._header is not None:
                    self._header += item.text
                elif self._channel in (None, "final", "commentary"):
                    text += self._text.feed(item.text).text
                elif self._channel == "tool" and self._calls:
                    text += f"to={self._recipient}<|message|>" if self._recipient else ""
                    text, self._recipient = text + item.text, ""
                else:
                    thought += item.text
        return Piece(text, thought)

    def _mark(self, marker: str) -> None:
        if marker == "<|start|>":
            self._header, self._recipient = "", ""
        elif marker == "<|channel|>":
            # The recipient stands before or after the channel.
            self._recipient, self._header = _recipient(self._header), ""
        elif marker == "<|message|>":
            words = (self._header or "").split()
            self._recipient = _recipient(self._header) or self._recipient
            # A commentary addressed to a tool is not part of the text.
            self._channel = "tool" if self._recipient else (words or ["final"])[0]
            self._header = None
        elif marker in ("<|return|>", "<|call|>"):
            self.ended = True
        elif marker == "<|end|>":
            self.ended = self._channel == "final"
            self._channel, self._header = "between", None


def _recipient(header: str | None) -> str:
    """Return the tool that the header of a message addresses; empty if there is none."""
    words = (header or "").split()
    return next((word.removeprefix("to=") for word in words if word.startswith("to=")), "")
