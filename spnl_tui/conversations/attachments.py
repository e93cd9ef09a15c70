"""Files that go with a prompt: "Explain @src/app.py".

A mention is an "@" at the beginning of a word, and a path: @src/app.py, or @"My notes.txt" with quotation
marks where it has spaces. What is sent, and kept, is each file in a fence of its own, and below them the
prompt as it was written:

    `src/app.py`:
    ```py
    …
    ```

    Explain @src/app.py

so that a turn holds all that the model was given. Whatever is asked about the same files begins the same:
they are read while the question is typed, and found in the prefix cache when another one is asked. `split`
takes such a text apart again, to show it; also one with the files below the prompt, as they were kept at
first.

A mention of no file is text ("ask @alice"), unless it looks like a path: then it is a mistake. A second "@"
makes it text: "@@types/node" is sent as "@types/node".
"""

from __future__ import annotations

import re
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import AttachmentError
from spnl_tui.text import in_bytes

MAX_BYTES = 1 << 20
"""The limit for all files of a prompt together, which is more than the context of most models holds."""

_MENTION = re.compile(r'(?<![^\s(])(@+)(?:"([^"\n]+)"|([^\s@"]\S*))')
_OF_PATHS = re.compile(r"[\w.~+/-]+")
_SUFFIX = re.compile(r"\.\w{1,5}\Z")
_AFTER = ".,;:!?)]}'\""
"""Punctuation that may follow a path and is rarely part of it."""
_HEAD = re.compile(r"`([^\n]+)`:")
_FENCE = re.compile(r"(`{3,})[^`\s]*")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text file that goes with a prompt."""

    path: str
    """The path as the user wrote it."""
    text: str
    """The text without its last line end."""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.text.encode("utf-8", "surrogatepass"))

    def block(self) -> str:
        """Return what the model reads: the name, and the text in a fence that is longer than any in it."""
        longest = max((len(ticks) for ticks in re.findall("`{3,}", self.text)), default=2)
        fence = "`" * (longest + 1)
        language = Path(self.path).suffix[1:]
        language = language if re.fullmatch(r"\w+", language) else ""
        return f"`{self.path}`:\n{fence}{language}\n{self.text}\n{fence}"


@dataclass(frozen=True, slots=True)
class Mention:
    """An "@" and a path within a text."""

    start: int
    end: int
    path: str
    quoted: bool
    escaped: bool
    """True if it has a second "@", which makes it text."""

    @property
    def looks_like_path(self) -> bool:
        """True if it looks like a path."""
        if self.quoted:
            return True
        return _OF_PATHS.fullmatch(self.path) is not None and (
            "/" in self.path or _SUFFIX.search(self.path) is not None
        )


def mentions(text: str) -> Iterator[Mention]:
    """Return every "@word" of a text, whether or not there is such a file."""
    for match in _MENTION.finditer(text):
        path = match[2] or match[3].rstrip(_AFTER)
        if path:
            end = match.end() if match[2] else match.start(3) + len(path)
            yield Mention(match.start(), end, path, bool(match[2]), len(match[1]) > 1)


def mention(path: str) -> str:
    """Return the mention of this path for a prompt."""
    return f'@"{path}"' if re.search(r"\s", path) or path[-1] in _AFTER else f"@{path}"


def read(text: str, folder: Path) -> tuple[str, tuple[Attachment, ...]]:
    """The text without the "@" that make mentions text, and the files that it mentions. Blocks: reads files.

    Relative paths are of `folder`.

    Raises:
        AttachmentError: a file cannot be read, is no text or too large.
    """
    found: dict[str, Attachment] = {}
    prose, at, left = [], 0, MAX_BYTES
    for each in mentions(text):
        file = folder / Path(each.path).expanduser()
        if each.escaped:
            if each.looks_like_path or file.is_file():
                prose.append(text[at : each.start])
                at = each.start + 1
        elif each.path not in found and (each.looks_like_path or file.is_file()):
            found[each.path] = _read(each.path, file, left)
            left -= found[each.path].size
    return "".join([*prose, text[at:]]), tuple(found.values())


def join(prose: str, attachments: Iterable[Attachment]) -> str:
    """Return the text that is sent and stored."""
    return "\n\n".join([*(attachment.block() for attachment in attachments), prose])


def split(text: str) -> tuple[str, tuple[Attachment, ...]]:
    """Return the prompt as the user wrote it, and the files in it. This reverses `join`."""
    if "`:\n```" not in text:
        return text, ()
    lines = text.split("\n")
    blocks = list(_blocks(lines))
    rest = _without(lines, [(start, end) for start, end, _ in blocks])
    mentioned = {each.path for each in mentions(rest)}
    # Others were written by hand.
    ours = [block for block in blocks if block[2].path in mentioned]
    return _without(lines, [(start, end) for start, end, _ in ours]), tuple(each for _, _, each in ours)


def words_of(turn: Turn) -> str:
    """Return the text of a turn as it is shown: a prompt without its files."""
    return turn.text if turn.role == "assistant" else split(turn.text)[0]


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, int, Attachment]]:
    """What looks like a file in a prompt: where its lines begin and end, and the file.

    An empty line is among them: the one behind it in those above the prompt, the one before it in others.
    """
    # Where each fence may end, so that many that never do cost no more than one.
    ends: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        if line.startswith("```") and not line.strip("`"):
            ends.setdefault(line, []).append(number)
    at = above = 0
    while at < len(lines) - 3:
        head, fence = _HEAD.fullmatch(lines[at]), _FENCE.fullmatch(lines[at + 1])
        candidates = ends.get(fence[1], []) if fence is not None else []
        place = bisect_left(candidates, at + 3)
        if head is not None and place < len(candidates):
            end = candidates[place]
            file = Attachment(head[1], "\n".join(lines[at + 2 : end]))
            if at == above and lines[end + 1 : end + 2] == [""]:
                above = end + 2
                yield at, above, file
                at = end
            elif at and not lines[at - 1]:
                yield at - 1, end + 1, file
                at = end
        at += 1


def _without(lines: Sequence[str], spans: Iterable[tuple[int, int]]) -> str:
    kept: list[str] = []
    at = 0
    for start, end in spans:
        kept += lines[at:start]
        at = end
    return "\n".join([*kept, *lines[at:]])


def as_typed(text: str) -> str:
    """Return what to type to send this text again: mentions instead of the contents of files."""
    prose, attachments = split(text)
    attached = {attachment.path for attachment in attachments}
    parts, at = [], 0
    for each in mentions(prose):
        if each.looks_like_path and (each.escaped or each.path not in attached):
            parts += [prose[at : each.start], "@"]
            at = each.start
    return "".join([*parts, prose[at:]])


def _read(path: str, file: Path, left: int) -> Attachment:
    title = f"{path} cannot be sent along"
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
            raise AttachmentError(title, f"It is {what}.", "Name a text file.")
        if status.st_size > left:
            raise AttachmentError(
                title,
                f"It has {in_bytes(status.st_size)}; all files of a prompt may have {in_bytes(MAX_BYTES)}.",
                "Copy what matters into a smaller file.",
            )
        with file.open("rb") as stream:
            data = stream.read(left + 1)
    except FileNotFoundError as error:
        hint = f"Is it misspelt? @{mention(path)} sends it as text."
        raise AttachmentError(title, "There is no such file.", hint) from error
    except OSError as error:
        raise AttachmentError(title, f"{error.strerror}.", "Is it yours to read?") from error
    if b"\0" in data:
        raise AttachmentError(title, "It is a binary file.", "Only text can be sent.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AttachmentError(title, "It is not text in UTF-8.", "Convert it first.") from error
    return Attachment(path, text.replace("\r\n", "\n").removesuffix("\n"))
