"""Lists the models of other programs. Blocks, so call it in a thread."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from spnl_tui.errors import ModelFileError, StoreError
from spnl_tui.hub.library.known_folders import KnownFolders
from spnl_tui.hub.library.programs.ollama import (
    OllamaModel,
    check_adapters,
    entry_of,
    find_model,
    ollama_entries,
    read_models,
)
from spnl_tui.hub.library.programs.places import PROGRAMS, Place, Program, find_places
from spnl_tui.hub.library.scan import LibraryEntry, scan_folder, scan_path

_WITH_REPOSITORIES = ("lm-studio",)
"""Programs whose folders PUBLISHER/MODEL have the names of repositories on Hugging Face."""


class OtherPrograms:
    """The models of other programs for one home directory and environment."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._home = home
        self._environ = environ
        self._known: KnownFolders[LibraryEntry] = KnownFolders()

    def places(self) -> list[Place]:
        """Return the existing folders with models."""
        return find_places(self._home, self._environ)

    def entries(self, on_error: Callable[[Path, OSError], None]) -> list[LibraryEntry]:
        """Return the complete models of all programs. `on_error` receives each folder that cannot be read."""
        found: list[LibraryEntry] = []
        for place in self.places():
            try:
                found += self._entries(place)
            except PermissionError:
                continue  # Ollama's service hides its models from other users, which is not an error
            except OSError as error:
                on_error(place.path, error)
        return found

    def of_repository(self, repository: str) -> list[LibraryEntry]:
        """Return the models in folders with the name of this Hugging Face repository."""
        wanted = repository.casefold()
        places = [place for place in self.places() if place.program.origin in _WITH_REPOSITORIES]
        entries = [entry for place in places for entry in self._entries(place)]
        return [entry for entry in entries if (entry.reference.repository or "").casefold() == wanted]

    def ollama_entry(self, name: str) -> LibraryEntry:
        """Return Ollama's model with this name.

        Raises:
            ModelFileError: Ollama has no such model, or it needs an adapter or is not one GGUF.
        """
        if (model := self.ollama_model(name)) is None:
            names = [model.name for folder in self._ollama_folders() for model in read_models(folder)]
            near = difflib.get_close_matches(name, names, n=5, cutoff=0.2)
            raise ModelFileError(
                "Ollama has no such model",
                f"Ollama has not pulled {name}.",
                f"Ollama has {', '.join(near or names[:5])}."
                if names
                else "Ollama has no models on this disk.",
            )
        check_adapters(model)
        if (entry := entry_of(model)) is None:
            raise ModelFileError(
                "The model cannot be loaded",
                f"Ollama's {name} does not consist of one GGUF.",
                "Choose another model.",
            )
        return entry

    def ollama_model(self, name: str) -> OllamaModel | None:
        """Return Ollama's model with this name; None if Ollama has none."""
        return find_model(self._ollama_folders(), name)

    def _ollama_folders(self) -> list[Path]:
        return [place.path for place in self.places() if place.program.origin == "ollama"]

    def _entries(self, place: Place) -> list[LibraryEntry]:
        origin = place.program.origin
        if origin == "ollama":
            return ollama_entries(place.path)
        if place.path.is_file():
            return scan_path(place.path, origin)
        repositories = origin in _WITH_REPOSITORIES
        return scan_folder(place.path, origin, repositories=repositories, by_content=True, known=self._known)

    def owns(self, path: Path) -> bool:
        """Return True if this path is in a folder of another program."""
        real = path.resolve()
        return any(real.is_relative_to(place.path.resolve()) for place in self.places())


def program_of(entry: LibraryEntry) -> Program | None:
    """Return the program that an entry belongs to; None if it belongs to the user or spnl-chat."""
    return next((program for program in PROGRAMS if program.origin == entry.origin), None)


def refuse_removal(entry: LibraryEntry) -> None:
    """Refuse to delete another program's model, and say how to remove it in that program.

    Raises:
        StoreError: the model belongs to another program.
    """
    if (program := program_of(entry)) is None:
        return
    name = entry.reference.ollama or entry.name
    how = program.removal.format(name=shlex.quote(name), path=shlex.quote(str(entry.paths[0])))
    raise StoreError(
        f"The model belongs to {program.title}",
        f"{entry.name} is a file of {program.title}. spnl-chat uses the file but never deletes it.",
        f"To remove the model: {how}",
    )


def without_known(entries: Iterable[LibraryEntry], known: Iterable[LibraryEntry]) -> list[LibraryEntry]:
    """Return the entries whose files are not among the known ones, each file only once.

    Exception: Ollama's models may share a file, because they differ in system prompts and parameters.
    """
    owners: dict[str, str] = {os.path.realpath(entry.paths[0]): "" for entry in known}
    kept = []
    for entry in entries:
        real = os.path.realpath(entry.paths[0])
        if real not in owners or owners[real] == entry.origin == "ollama":
            owners[real] = entry.origin
            kept.append(entry)
    return kept
