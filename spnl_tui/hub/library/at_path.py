"""Finds models at paths that the user gives. Blocks, so call it in a thread.

Unreadable files raise ModelFileError.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from spnl_tui.errors import ModelFileError, cause_of
from spnl_tui.hub.library.choosing import choose_entry
from spnl_tui.hub.library.scan import LibraryEntry, scan_path
from spnl_tui.models.files.local import LocalModel, resolve_local
from spnl_tui.models.quantization import label_of_file
from spnl_tui.models.reference import ModelReference


def imported_entry(path: Path) -> LibraryEntry:
    """Return the entry of an imported path without opening its files.

    Raises:
        ModelFileError: the model is gone or cannot be read, or the path now has several models.
    """
    with _readable(path, "An imported model cannot be read"):
        found = scan_path(path, "imported")
    if len(found) != 1:
        raise ModelFileError(
            "An imported model is missing" if not found else "An imported folder now holds several models",
            f"{path} was imported, but is no longer a model.",
            f"Restore it, or remove it from the list: spnl-chat rm {shlex.quote(str(path))}",
        )
    return replace(found[0], reference=ModelReference(path=path))


def importable_entry(path: Path) -> LibraryEntry:
    """Return the entry of a path that will be imported, after reading the model's header.

    Raises:
        ModelFileError: there is no model, more than one, or the model is damaged.
    """
    with _readable(path):
        resolve_local(path)
    return imported_entry(path)


def entries_at(path: Path) -> list[LibraryEntry]:
    """Return the models at a path, imported or not.

    Raises:
        ModelFileError: the path cannot be read.
    """
    with _readable(path):
        return scan_path(path)


def resolve_path(path: Path, quantization: str | None) -> LocalModel:
    """Return the model at a path; in a folder with several quantizations, the named or default one.

    Raises:
        ModelFileError: there is no model, none with this quantization, several, or a damaged one.
        ModelReferenceError: several files match.
    """
    with _readable(path):
        return _model_at(path, quantization)


def _model_at(path: Path, quantization: str | None) -> LocalModel:
    if path.is_dir():
        entries = [entry for entry in scan_path(path) if entry.format == "gguf"]
        # Files with the same label are different models, among which only the user can choose.
        told_apart = all(entry.label == label_of_file(entry.files[0]) for entry in entries)
        if quantization is not None or (len(entries) > 1 and told_apart):
            entry = choose_entry(entries, quantization)
            if entry is None:
                raise ModelFileError(
                    f"No {quantization} here",
                    f"{path} has {', '.join(e.label for e in entries[:8]) or 'no GGUF files'}.",
                    "Choose one of these, or give the path of a file.",
                )
            return resolve_local(entry.paths[0], str(ModelReference(path=path, quantization=entry.label)))
    return resolve_local(path)


@contextlib.contextmanager
def _readable(path: Path, title: str = "The model cannot be read") -> Iterator[None]:
    """Convert an OSError to a ModelFileError with this title."""
    try:
        yield
    except OSError as error:
        raise ModelFileError(
            title,
            f"{error.filename or path}: {cause_of(error)}.",
            "Check the path and its permissions.",
        ) from error
