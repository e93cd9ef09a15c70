"""Writes an export to a new file without overwriting others."""

from __future__ import annotations

import re
from pathlib import Path

from spnl_tui.errors import StoreError, cause_of


def write_new_file(folder: Path, title: str, suffix: str, text: str) -> Path:
    """Write a new file named after a title, with a number if the name is taken. Return its path. Blocks, so
    call it in a thread.

    Raises:
        StoreError: the file cannot be written.
    """
    name = re.sub(r"[\W_]+", "-", title.lower()).strip("-")[:60].strip("-") or "conversation"
    try:
        for number in range(1, 1000):
            file = folder / f"{name}{f'-{number}' if number > 1 else ''}{suffix}"
            try:
                with file.open("x", encoding="utf-8") as stream:
                    stream.write(text)
            except FileExistsError:
                continue
            return file
    except OSError as error:
        raise StoreError(
            "The export cannot be written",
            f"{folder}: {cause_of(error)}.",
            "Start the program in another directory.",
        ) from error
    raise StoreError("The export cannot be written", f"{folder} already has a thousand files with that name.")


def write_as(file: Path, text: str) -> Path:
    """Write a new file and return its path. Blocks, so call it in a thread.

    Raises:
        StoreError: the file exists, or cannot be written.
    """
    file = file.expanduser()
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise StoreError(
            "The file already exists", f"{file} was not changed.", "Choose another name."
        ) from None
    except OSError as error:
        raise StoreError("The export cannot be written", f"{file}: {cause_of(error)}.") from error
    return file.absolute()
