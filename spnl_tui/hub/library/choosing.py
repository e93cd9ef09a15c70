"""Finds the models on this disk that match a name."""

from __future__ import annotations

from collections.abc import Sequence

from spnl_tui.hub.library.scan import LibraryEntry
from spnl_tui.models.quantization import (
    SAFETENSORS,
    ModelFile,
    Quantization,
    choose,
    find_named,
    label_of_file,
)


def choose_entries(entries: Sequence[LibraryEntry], quantization: str | None) -> tuple[LibraryEntry, ...]:
    """Return the entries of this quantization, sorted by label; all if it is None.

    Raises:
        ModelReferenceError: several quantizations match.
    """
    if quantization is not None:
        chosen = choose_entry(entries, quantization)
        entries = [chosen] if chosen else []
    return tuple(sorted(entries, key=lambda entry: entry.label))


def choose_entry(entries: Sequence[LibraryEntry], quantization: str | None) -> LibraryEntry | None:
    """Return the entry of this quantization, by default the best; None if it is not on this disk.

    Raises:
        ModelReferenceError: several quantizations match.
    """
    if not entries:
        return None
    by_label = {entry.label: entry for entry in reversed(entries)}
    found = [
        Quantization(
            label=entry.label,
            files=tuple(ModelFile(file) for file in entry.files),
            kind=label_of_file(entry.files[0]) or "",
        )
        for entry in by_label.values()
        if entry.format == "gguf"
    ]
    if quantization is None:
        return by_label[choose(found).label] if found else by_label[SAFETENSORS]
    if not find_named(found, quantization):
        return by_label.get(SAFETENSORS) if quantization.lower() == SAFETENSORS else None
    return by_label[choose(found, named=quantization).label]


def here_by_label(
    quantizations: Sequence[Quantization], entries: Sequence[LibraryEntry]
) -> dict[str, LibraryEntry]:
    """Return the entries for a repository's quantizations, by their labels on the hub.

    Entries are matched by their files, because labels on this disk may differ from those on the hub.
    """
    by_file = {entry.files[0]: entry for entry in reversed(entries)}
    by_label = {entry.label: entry for entry in reversed(entries)}
    found = {}
    for quantization in quantizations:
        entry = by_file.get(quantization.files[0].path)
        if quantization.label == SAFETENSORS:
            entry = by_label.get(SAFETENSORS)
        if entry is not None:
            found[quantization.label] = entry
    return found
