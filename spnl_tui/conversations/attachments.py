"""Attaches files to a prompt: "Explain @src/app.py".

A mention is an "@" at the beginning of a word and a path: @src/app.py, or @"My notes.txt" in quotation marks
if the path has spaces. The prompt that is sent and stored has each file in a fence, and below them the prompt
as typed:

    `src/app.py`:
    ```py
    …
    ```

    Explain @src/app.py

So a turn holds everything that the model received. All questions about the same files begin alike: the files
are read while the user types, and later questions find them in the prefix cache. `split` separates the files
from such a text to show it. It also accepts files below the prompt, the form of early versions.

A mention of a missing file is text ("ask @alice"), unless it looks like a path; then it is an error. A second
"@" makes it text: "@@types/node" is sent as "@types/node".
"""

from __future__ import annotations

import re
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spnl_tui.conversations.turn import Turn
from spnl_tui.errors import AttachmentError, cause_of
from spnl_tui.media.suffixes import DOCUMENT_SUFFIXES, IMAGE_SUFFIXES
from spnl_tui.models.image_marks import image_mark, marked_images, replace_marks
from spnl_tui.models.parts import ImagePart
from spnl_tui.text import in_bytes

if TYPE_CHECKING:
    from spnl_tui.media.media_reader import MediaReader

MAX_BYTES = 1 << 20
"""The limit in bytes for all files of a prompt together. Most models' contexts hold less."""

_MENTION = re.compile(r'(?<![^\s(])(@+)(?:"([^"\n]+)"|([^\s@"]\S*))')
_OF_PATHS = re.compile(r"[\w.~+/-]+(?:#[0-9,-]+)?")
_SUFFIX = re.compile(r"\.\w{1,5}(?:#[0-9,-]+)?\Z")
_PAGES = re.compile(r"(.+\.\w{2,5})#([0-9][0-9,-]*)")
_AFTER = ".,;:!?)]}'\""
"""Punctuation after a path that is probably not part of it."""
_HEAD = re.compile(r"`([^\n]+)`:")
_FENCE = re.compile(r"(`{3,})[^`\s]*")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text file or image attached to a prompt."""

    path: str
    """The path as the user wrote it."""
    text: str
    """The text without its last line end; empty for an image."""
    image: ImagePart | None = None

    @property
    def size(self) -> int:
        """The size in bytes."""
        if self.image is not None:
            return self.image.size
        return len(self.text.encode("utf-8", "surrogatepass"))

    def block(self) -> str:
        """Return the text for the model: the name, and the contents in a fence longer than any inside. For an
        image, its mark."""
        if self.image is not None:
            return image_mark(self.image)
        longest = max((len(ticks) for ticks in re.findall("`{3,}", self.text)), default=2)
        fence = "`" * (longest + 1)
        language = Path(self.path).suffix[1:]
        language = language if re.fullmatch(r"\w+", language) else ""
        return f"`{self.path}`:\n{fence}{language}\n{self.text}\n{fence}"


@dataclass(frozen=True, slots=True)
class Mention:
    """An "@" and a path in a text."""

    start: int
    end: int
    path: str
    quoted: bool
    escaped: bool
    """True if it has a second "@", so that it is text."""

    @property
    def looks_like_path(self) -> bool:
        """True if the mention looks like a path."""
        if self.quoted:
            return True
        return _OF_PATHS.fullmatch(self.path) is not None and (
            "/" in self.path or _SUFFIX.search(self.path) is not None
        )


def mentions(text: str) -> Iterator[Mention]:
    """Return every "@word" of a text, even if there is no such file."""
    for match in _MENTION.finditer(text):
        path = match[2] or match[3].rstrip(_AFTER)
        if path:
            end = match.end() if match[2] else match.start(3) + len(path)
            yield Mention(match.start(), end, path, bool(match[2]), len(match[1]) > 1)


def mention(path: str) -> str:
    """Return the mention of this path, to insert into a prompt."""
    return f'@"{path}"' if re.search(r"\s", path) or path[-1] in _AFTER else f"@{path}"


def read(text: str, folder: Path, media: MediaReader | None = None) -> tuple[str, tuple[Attachment, ...]]:
    """Return the text with doubled "@" reduced to one, and the files that it mentions. Blocks: reads files.

    Relative paths start at `folder`. Without `media` only text files are read.

    Raises:
        AttachmentError: a file cannot be read, is not text, or is too large.
    """
    paths, prose, at = [], [], 0
    for each in mentions(text):
        if not each.looks_like_path and not _located(each.path, folder).is_file():
            continue
        if each.escaped:
            prose.append(text[at : each.start])
            at = each.start + 1
        else:
            paths.append(each.path)
    return "".join([*prose, text[at:]]), attach(paths, folder, media)


def attach(paths: Iterable[str], folder: Path, media: MediaReader | None = None) -> tuple[Attachment, ...]:
    """Return the files at these paths, which may end in pages: "paper.pdf#3-7". Blocks: reads files.

    Raises:
        AttachmentError: a file cannot be read, is not text, or is too large.
    """
    found = []
    left = MAX_BYTES
    for path in dict.fromkeys(paths):
        attached = _attach(path, _located(path, folder), _with_pages(path)[1], left, media)
        left -= 0 if attached.image is not None else attached.size
        found.append(attached)
    return tuple(found)


def mentioned_files(text: str, folder: Path) -> Iterator[str]:
    """Yield the paths of existing files that a text mentions."""
    for each in mentions(text):
        if not each.escaped and _located(each.path, folder).is_file():
            yield each.path


def join(prose: str, attachments: Iterable[Attachment]) -> str:
    """Return the text to send and store. Images come first, as in the prompts on which models were
    trained."""
    every = tuple(attachments)
    images = "".join(each.block() for each in every if each.image is not None)
    return images + "\n\n".join([*(each.block() for each in every if each.image is None), prose])


def split(text: str) -> tuple[str, tuple[Attachment, ...]]:
    """Return the prompt as typed and its files: the reverse of `join`."""
    images = tuple(Attachment(image.name, "", image) for image in marked_images(text))
    if images:
        prose, files = split(replace_marks(text, lambda _: ""))
        return prose, (*images, *files)
    if "`:\n```" not in text:
        return text, ()
    lines = text.split("\n")
    blocks = list(_blocks(lines))
    rest = _without(lines, [(start, end) for start, end, _ in blocks])
    mentioned = {each.path for each in mentions(rest)}
    # Files that the prompt does not mention were written by hand.
    ours = [block for block in blocks if block[2].path in mentioned]
    return _without(lines, [(start, end) for start, end, _ in ours]), tuple(each for _, _, each in ours)


def words_of(turn: Turn) -> str:
    """Return a turn's text for display: a prompt without its files."""
    return turn.text if turn.role == "assistant" else split(turn.text)[0]


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, int, Attachment]]:
    """Yield the parts of a prompt that look like files: first line, line after the last, and the file.

    Each part includes an empty line: the line after it if it is above the prompt, otherwise the line before
    it.
    """
    # The possible ends of each fence, so that many fences without an end take no more time than one.
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
    """Return the text that the user would type to send this text again, with mentions instead of contents."""
    prose, attachments = split(text)
    attached = {attachment.path for attachment in attachments}
    mentioned = {each.path for each in mentions(prose)}
    parts = [f"{mention(each.path)} " for each in attachments if each.path and each.path not in mentioned]
    at = 0
    for each in mentions(prose):
        if each.looks_like_path and (each.escaped or each.path not in attached):
            parts += [prose[at : each.start], "@"]
            at = each.start
    return "".join([*parts, prose[at:]])


def _located(path: str, folder: Path) -> Path:
    """Return the file of a path that may end in pages."""
    return folder / Path(_with_pages(path)[0]).expanduser()


def _with_pages(path: str) -> tuple[str, str]:
    """Return a path and the selected pages, as in "paper.pdf#3-7"."""
    match = _PAGES.fullmatch(path)
    return (match[1], match[2]) if match else (path, "")


def _attach(path: str, file: Path, pages: str, left: int, media: MediaReader | None) -> Attachment:
    if path.endswith("/") and stat.S_ISDIR(_mode(file)):
        from spnl_tui.conversations.folders import read_folder

        return Attachment(path, read_folder(file, path, left))
    suffix = file.suffix.lower()
    if media is not None and not _mode(file) and (image := media.pasted(path)) is not None:
        return Attachment(path, "", image)
    if media is not None and stat.S_ISREG(_mode(file)):
        if suffix in IMAGE_SUFFIXES:
            return Attachment(path, "", media.image(file, path))
        if suffix in DOCUMENT_SUFFIXES:
            text = media.document(file, path, pages)
            if len(text.encode("utf-8", "surrogatepass")) > left:
                raise _too_large(path, len(text))
            return Attachment(path, text.removesuffix("\n"))
    return _read(path, file, left)


def _mode(file: Path) -> int:
    try:
        return file.stat().st_mode
    except OSError:
        return 0


def _too_large(path: str, size: int) -> AttachmentError:
    return AttachmentError(
        f"{path} cannot be attached",
        f"It has {in_bytes(size)}; all files of a prompt together may have {in_bytes(MAX_BYTES)}.",
        "Choose pages, as in @paper.pdf#3-7, or copy the important parts into a smaller file.",
    )


def _read(path: str, file: Path, left: int) -> Attachment:
    title = f"{path} cannot be attached"
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            if stat.S_ISDIR(status.st_mode):
                hint = f"To attach the text files in it, type @{path}/"
                raise AttachmentError(title, "It is a directory.", hint)
            raise AttachmentError(title, "It is not a regular file.", "Choose a text file.")
        if status.st_size > left:
            raise _too_large(path, status.st_size)
        with file.open("rb") as stream:
            data = stream.read(left + 1)
    except FileNotFoundError as error:
        hint = f"Check the spelling. To send it as text, type @{mention(path)}"
        raise AttachmentError(title, "There is no such file.", hint) from error
    except OSError as error:
        raise AttachmentError(title, f"{cause_of(error)}.", "Check its permissions.") from error
    if b"\0" in data:
        raise AttachmentError(title, "It is a binary file.", "Only text files can be attached.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AttachmentError(title, "It is not UTF-8 text.", "Convert it first.") from error
    return Attachment(path, text.replace("\r\n", "\n").removesuffix("\n"))
