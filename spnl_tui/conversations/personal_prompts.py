"""The user's own prompts: Markdown files in `prompts/` of the configuration and the workspace.

    ---
    description: Review a file
    arguments: {language: English, strictness: high}
    ---
    Review this in {{language}}, with {{strictness}} strictness:

    {{input}}

The name of the file is the name of the command: `/review language=French @main.py`. `{{input}}` is replaced
by the text after the arguments; without it, that text is appended. Files in the workspace need front matter,
because other programs also have folders with this name. Files are read again when they change.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spnl_tui.conversations.slash_text import split_command
from spnl_tui.errors import CommandError
from spnl_tui.front_matter import split_front_matter
from spnl_tui.text import first_line
from spnl_tui.text_files import UnreadableFileError, read_text_file

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_PLACE = re.compile(r"\{\{\s*([A-Za-z_][\w-]*)\s*\}\}")
_LARGEST = 1 << 20
_INPUT = "input"


@dataclass(frozen=True, slots=True)
class PersonalPrompt:
    """A prompt of the user, read from a file."""

    name: str
    text: str
    path: Path
    description: str = ""
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    """The default of each argument; None if the argument is required."""

    @property
    def usage(self) -> str:
        """Return the command as the user types it."""
        return " ".join([f"/{self.name}", *(f"[{name}=…]" for name in self.arguments), "[TEXT]"])

    def fill(self, given: str) -> str:
        """Return the prompt with the arguments and the text in `given` filled in.

        Raises:
            CommandError: an argument without a default is missing.
        """
        values, rest = self._split(given)
        missing = [name for name, value in values.items() if value is None]
        if missing:
            raise CommandError(
                f"/{self.name} needs {missing[0]}",
                f"{self.path} defines no default for it.",
                f"Write: /{self.name} {missing[0]}=VALUE",
            )
        used = {name.strip() for name in _PLACE.findall(self.text)}

        def value(match: re.Match[str]) -> str:
            name = match[1]
            return rest if name == _INPUT else (values.get(name) or "") if name in values else match[0]

        text = _PLACE.sub(value, self.text).strip()
        return text if _INPUT in used or not rest else f"{text}\n\n{rest}".strip()

    def _split(self, given: str) -> tuple[dict[str, str | None], str]:
        """Return the values of the arguments, and the text after them."""
        values = dict(self.arguments)
        rest = given.strip()
        while match := re.match(r"""([A-Za-z_][\w-]*)=("[^"]*"|\S*)(?:\s+|$)""", rest):
            if match[1] not in values:
                break
            values[match[1]] = match[2].strip('"')
            rest = rest[match.end() :]
        return values, rest.strip()


class PersonalPrompts:
    """The prompts in these folders. Later folders override earlier ones."""

    def __init__(self, own: Path, workspace: Path | None = None) -> None:
        self._folders = [(own, False), *([(workspace, True)] if workspace else [])]
        self._seen: tuple[object, ...] | None = None
        self._prompts: dict[str, PersonalPrompt] = {}

    def all(self) -> Mapping[str, PersonalPrompt]:
        """Return the current prompts by name. Blocks shortly to read a few files."""
        files = [(path, needs) for folder, needs in self._folders for path in _files(folder)]
        seen = tuple(
            (path, status.st_mtime_ns, status.st_size) for path, needs in files if (status := _stat(path))
        )
        if seen != self._seen:
            self._seen = seen
            found = (_read(path, needs) for path, needs in files)
            self._prompts = {prompt.name: prompt for prompt in found if prompt is not None}
        return self._prompts

    def expand(self, text: str) -> str | None:
        """Return the prompt that a command expands to; None if the text is not such a command.

        Raises:
            CommandError: an argument is missing.
        """
        parts = split_command(text)
        prompt = self.all().get(parts[0]) if parts is not None else None
        return None if prompt is None or parts is None else prompt.fill(parts[1])


def _files(folder: Path) -> Sequence[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if path.suffix == ".md" and _NAME.fullmatch(path.stem)
        )
    except OSError:  # the folder does not exist
        return ()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _read(path: Path, needs_front_matter: bool) -> PersonalPrompt | None:
    try:
        details, body = split_front_matter(read_text_file(path, _LARGEST))
    except UnreadableFileError:
        return None
    if needs_front_matter and not details:
        return None
    description = details.get("description")
    return PersonalPrompt(
        name=path.stem,
        text=body.strip(),
        path=path,
        description=first_line(description, 200) if isinstance(description, str) else first_line(body, 80),
        arguments=_arguments(details.get("arguments")),
    )


def _arguments(value: Any) -> dict[str, str | None]:
    if isinstance(value, list):
        value = dict.fromkeys(str(name) for name in value)
    if not isinstance(value, dict):
        return {}
    return {str(name): None if default is None else str(default) for name, default in value.items()}
