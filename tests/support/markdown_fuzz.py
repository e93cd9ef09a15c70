"""Markdown from a grammar of nested constructs, streamed in random chunks as a reply is.

    python -m tests.support.markdown_fuzz [--texts 2000] [--seed 1]

prints its seed, and that of a text that fails, to repeat it alone: `--texts 1 --seed N`. Every word must be
on the screen at the end of the stream and in the finished reply, and the characters that are parsed must grow
in proportion to the text.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from markdown_it import MarkdownIt

from spnl_tui.text import plain
from spnl_tui.ui.chat.markdown.rendering import layout, parse
from spnl_tui.ui.chat.markdown.stream import MarkdownSplitter, whole_blocks

_LINES_TOGETHER = 40
_LONG = 5_000
"""Characters of a text that shows what more of it costs: the open end is bounded from 4,000 on."""
_WORDS = 60
"""From this many words on, a text gets no further nested blocks."""
_MOST_PARSED = 7.0
"""How many times as much may be parsed for four times the text."""


class Grammar:
    """Writes one random text. `words` are those that the user must see."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.words: list[str] = []

    def text(self) -> str:
        """Return a text of a few blocks."""
        self.words = []
        return "\n".join(self._block(self._chance.randint(0, 6)) for _ in range(self._chance.randint(1, 8)))

    def word(self) -> str:
        """Return a short word that occurs nowhere else."""
        number = len(self.words)
        word = f"q{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}{number // 676 or ''}z"
        self.words.append(word)
        return word

    def _inline(self, depth: int = 2) -> str:
        return " ".join(self._span(depth) for _ in range(self._chance.randint(1, 5)))

    def _span(self, depth: int) -> str:
        word, pick = self.word, self._chance.choice
        kinds: list[Callable[[], str]] = [
            word,
            word,
            word,
            lambda: f"`{word()} {word()}`",
            lambda: f"``{word()} ` {word()}``",
            lambda: f"<https://example.org/{word()}>",
            lambda: f"![{word()}](pic.png)",
            lambda: rf"\({word()}^2 + \frac{{{word()}}}{{3}}\)",
            lambda: f"${word()}_1$",
            lambda: f"<b>{word()}</b>{pick(('<br>', '<br/>', ''))}{word()}",
            lambda: f"{word()}&amp;&lt;{word()}&nosuch;",
            lambda: rf"\*{word()}\_ \\{word()}",
            lambda: f"**「{word()}」**の{word()}",
            lambda: f"漢字{word()}👩\u200d👧",
            lambda: f"[^{word()}]",
            lambda: (
                f"{pick(('**', '*', '_', '`', '[', '](', '<', '~~', '$', '|', '![', '<!', '&#'))}{word()}"
            ),
            lambda: f"{word()}{pick(('  ', chr(92), ''))}\n{word()}",
        ]
        if depth:
            inner: list[Callable[[], str]] = [
                lambda: f"*{self._inline(depth - 1)}*",
                lambda: f"**{self._inline(depth - 1)}**",
                lambda: f"~~{self._inline(depth - 1)}~~",
                lambda: f"[{self._inline(depth - 1)}](https://example.org/a_(b))",
                lambda: f"***{word()}* {self._inline(depth - 1)}**",
            ]
            kinds += inner
        return pick(kinds)()

    def _block(self, depth: int) -> str:
        chance, word = self._chance, self.word
        leaves: list[Callable[[], str]] = [
            lambda: f"{self._inline()}\n",
            lambda: f"{self._inline()}\n{self._inline()}\n",
            lambda: f"{'#' * chance.randint(1, 7)} {self._inline()}\n",
            lambda: f"{word()} {word()}\n{chance.choice(('===', '---'))}\n",
            lambda: "\n---\n",
            self._fence,
            lambda: f"\n    {word()}\n\n    {word()}\n",
            self._table,
            lambda: f"<div>\n{word()}\n</div>\n\n",
            lambda: f"$$\n{word()} = {word()}\n$$\n",
            lambda: f"\\[\n{word()}\n\\]\n",
            lambda: f"\n[{chance.choice('abc')}]: https://example.org\n\n",
            lambda: f"[^{chance.randint(1, 3)}]: {word()}\n",
            lambda: "\n" * chance.randint(1, 3),
            lambda: f"{' '.join(word() for _ in range(60))}\n",
        ]
        nested: list[Callable[[], str]] = [
            lambda: self._list(depth - 1),
            lambda: self._list(depth - 1),
            lambda: self._list(depth - 1),
            lambda: self._indented("> ", "> ", depth - 1),
            lambda: self._indented(">", ">", depth - 1),
        ]
        return chance.choice(
            nested if depth and chance.random() < 0.7 and len(self.words) < _WORDS else leaves
        )()

    def _fence(self) -> str:
        chance = self._chance
        mark = chance.choice(("```", "~~~", "````"))
        lines = "".join(
            f"{' ' * chance.randint(0, 6)}{self.word()} = 1\n" for _ in range(chance.randint(0, 30))
        )
        closing = f"{mark}\n" if chance.random() < 0.8 else ""
        return f"{mark}{chance.choice(('python', '', 'nosuch', 'c++', 'text x=1'))}\n{lines}{closing}"

    def _table(self) -> str:
        columns = self._chance.randint(1, 6)
        rows = [[self._cell() for _ in range(columns)] for _ in range(self._chance.randint(1, 30))]
        head, *rest = (f"| {' | '.join(row)} |\n" for row in rows)
        return f"\n{head}|{'---|' * columns}\n{''.join(rest)}"

    def _cell(self) -> str:
        form = self._chance.choice(("", "{}", "**{}**", "`{}`", "a{}<br>b"))
        return form.format(self.word()) if form else ""

    def _list(self, depth: int) -> str:
        chance = self._chance
        ordered, mark = chance.random() < 0.4, chance.choice("-*+")
        start = chance.choice((1, 1, 7, 99, 0))
        items = []
        for number in range(start, start + chance.randint(1, 8)):
            bullet = f"{number}{chance.choice('.)')} " if ordered else f"{mark} "
            box = chance.choice(("", "", "", "[ ] ", "[x] "))
            items.append(self._indented(bullet + box, " " * len(bullet), depth))
        return chance.choice(("", "\n")).join(items)

    def _indented(self, first: str, rest: str, depth: int) -> str:
        inside = "".join(self._block(depth) for _ in range(self._chance.randint(1, 2)))
        lines = inside.removesuffix("\n").split("\n")
        return "".join(f"{rest if number else first}{line}\n" for number, line in enumerate(lines))


def chunks(text: str, chance: random.Random) -> Iterator[str]:
    """Yield the text in pieces, of one character up to some lines."""
    start = 0
    while start < len(text):
        size = chance.choice((1, 5, 20, 60, 200, 500))
        yield text[start : start + size]
        start += size


def shown_while_streaming(text: str, width: int, chance: random.Random) -> str:
    """Return what stands on the screen when the last chunk has come, laid out as `ReplyText` does."""
    splitter, finished = MarkdownSplitter(), []
    for chunk in chunks(text, chance):
        for piece in splitter.feed(chunk):
            finished += layout(parse(piece.source, continues=piece.continues, headless=piece.headless), width)
        if splitter.due:
            tail = layout(parse(splitter.tail, headless=splitter.headless), width)
    if not splitter.due:
        tail = layout(parse(splitter.tail, headless=splitter.headless), width)
    return "\n".join(line.content.plain for line in (*finished, *tail))


def shown_when_finished(text: str, width: int) -> str:
    """Return what the finished reply shows."""
    parts, references = whole_blocks(text, _LINES_TOGETHER)
    blocks = [layout(parse(part, references=references), width) for part in parts]
    return "\n".join(line.content.plain for lines in blocks for line in lines)


@contextmanager
def counted_characters() -> Iterator[Callable[[], int]]:
    """Within the context, count the characters that are parsed as Markdown."""
    total = 0
    original = MarkdownIt.parse

    def counting(self: MarkdownIt, source: str, *arguments: Any) -> Any:
        nonlocal total
        total += len(source)
        return original(self, source, *arguments)

    with patch.object(MarkdownIt, "parse", counting):
        yield lambda: total


def parsed_characters(text: str, seed: int) -> int:
    """Return how many characters are parsed while this text streams."""
    with counted_characters() as count:
        shown_while_streaming(text, 80, random.Random(seed))
        return count()


def check(seed: int, *, cost: bool = False) -> None:
    """Check the text of this seed; `cost` also checks what more of it costs.

    Raises:
        AssertionError: words are missing, or the cost grows faster than the text.
    """
    grammar, chance = Grammar(seed), random.Random(seed)
    text = plain(grammar.text())
    width = chance.choice((60, 80, 100, 200))
    for when, shown in (
        ("while it streams", shown_while_streaming(text, width, chance)),
        ("when it is finished", shown_when_finished(text, width)),
    ):
        folded = "".join(filter(str.isalnum, shown))  # long lines of code break in mid-word
        missing = [word for word in grammar.words if word not in shown and word not in folded]
        assert not missing, (
            f"seed {seed}: {missing} not shown {when}, at {width} columns:\n{text}\n→\n{shown}"
        )
    if cost and text.strip():
        long = f"{text}\n\n" * (_LONG // len(text) + 1)
        once, four = parsed_characters(long, seed), parsed_characters(long * 4, seed)
        assert four <= _MOST_PARSED * once, (
            f"seed {seed}: {once:,} characters parsed, {four:,} for four times"
        )


def main() -> int:
    """Read the arguments, and print the seed first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    failed = 0
    for seed in range(given.seed, given.seed + given.texts):
        try:
            check(seed, cost=seed % 40 == 0)
        except Exception:
            traceback.print_exc(limit=-4)
            failed += 1
    print(f"{given.texts} texts, {failed} failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
