"""Files dropped on the terminal: it pastes their paths, quoted or escaped as its own shell would need it."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

MOST_FILES = 32
_LONGEST = 8192


def mentions_of_drop(text: str) -> str | None:
    """Return mentions of the files whose paths these are; None if the text is anything else.

    Terminals write a path plain, in quotation marks, with backslashes, or as a file URL; several with spaces
    or line ends between them. Only files that exist, by absolute paths, count.
    """
    text = text.strip()
    if not text.startswith(("/", "'", '"', "file:///", "~/")) or len(text) > _LONGEST:
        return None
    paths = [text] if Path(text).is_absolute() and _is_file(text) else _split(text)
    if not 0 < len(paths) <= MOST_FILES or not all(map(_is_file, paths)):
        return None
    from spnl_tui.conversations.attachments import mention

    return " ".join(mention(_short(path)) for path in paths) + " "


def _split(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:  # an open quotation mark: it is prose
        return []
    return [unquote(urlsplit(word).path) if word.startswith("file:///") else word for word in words]


def _is_file(path: str) -> bool:
    try:
        file = Path(path).expanduser()
        return file.is_absolute() and file.is_file() and '"' not in path and path.isprintable()
    except (OSError, ValueError, RuntimeError):
        return False


def _short(path: str) -> str:
    file = Path(path).expanduser()
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else path
