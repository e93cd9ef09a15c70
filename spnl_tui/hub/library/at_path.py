"""Models at paths that the user names. Unreadable files raise ModelFileError.

Blocking, for threads.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from spnl_tui.errors import ModelFileError
from spnl_tui.hub.library.choosing import choose_entry
from spnl_tui.hub.library.scan import LibraryEntry, scan_path
from spnl_tui.models.files.local import LocalModel, resolve_local
from spnl_tui.models.quantization import label_of_file
from spnl_tui.models.reference import ModelReference


def imported_entry(path: Path) -> LibraryEntry:
    """Return the entry of an imported path without opening its files.

    Raises:
        ModelFileError: it has gone, holds several models now, or cannot be read.
    """
    with _readable(path, "An imported model cannot be read"):
        found = scan_path(path, "imported")
    if len(found) != 1:
        raise ModelFileError(
            "An imported model has gone" if not found else "An imported folder now holds several models",
            f"{path} was imported and is not a model any more.",
            f"Put it back, or forget it: spnl-chat rm {shlex.quote(str(path))}",
        )
    return replace(found[0], reference=ModelReference(path=path))


def importable_entry(path: Path) -> LibraryEntry:
    """Return the entry of a path to be imported, after reading the header of the model.

    Raises:
        ModelFileError: there is no model, more than one, or a broken one.
    """
    with _readable(path):
        resolve_local(path)
    return imported_entry(path)


def entries_at(path: Path) -> list[LibraryEntry]:
    """Return the models at a path, imported or not.

    Raises:
        ModelFileError: it cannot be read.
    """
    with _readable(path):
        return scan_path(path)


def resolve_path(path: Path, quantization: str | None) -> LocalModel:
    """Return the model at a path: in a folder of several quantizations, the named or default one.

    Raises:
        ModelFileError: there is no model, none of this quantization, several, or a broken one.
        ModelReferenceError: several files could be meant.
    """
    with _readable(path):
        return _model_at(path, quantization)


def _model_at(path: Path, quantization: str | None) -> LocalModel:
    if path.is_dir():
        entries = [entry for entry in scan_path(path) if entry.format == "gguf"]
        # Files of one label are different models: which is meant, only the user can say.
        told_apart = all(entry.label == label_of_file(entry.files[0]) for entry in entries)
        if quantization is not None or (len(entries) > 1 and told_apart):
            entry = choose_entry(entries, quantization)
            if entry is None:
                raise ModelFileError(
                    f"No {quantization} here",
                    f"{path} has {', '.join(e.label for e in entries[:8]) or 'no GGUF files'}.",
                    "Name one of those, or a file.",
                )
            return resolve_local(entry.paths[0], str(ModelReference(path=path, quantization=entry.label)))
    return resolve_local(path)


@contextlib.contextmanager
def _readable(path: Path, title: str = "The model cannot be read") -> Iterator[None]:
    """Turn an OSError into the error that the model at this path cannot be read."""
    try:
        yield
    except OSError as error:
        raise ModelFileError(
            title,
            f"{error.filename or path}: {error.strerror or error}.",
            "Check the path and its permissions.",
        ) from error
