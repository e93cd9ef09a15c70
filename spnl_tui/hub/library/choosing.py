"""Find the models on this disk that a name means."""

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
    """Return the entries of this quantization, or all, by label.

    Raises:
        ModelReferenceError: several are called so.
    """
    if quantization is not None:
        chosen = choose_entry(entries, quantization)
        entries = [chosen] if chosen else []
    return tuple(sorted(entries, key=lambda entry: entry.label))


def choose_entry(entries: Sequence[LibraryEntry], quantization: str | None) -> LibraryEntry | None:
    """Return the entry of this quantization, or by default; None if it is not here.

    Raises:
        ModelReferenceError: several are called so.
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
    """Return what is on this disk of a repository on the hub, by its label there.

    Entries are recognized by their files: what is alone here may have other names beside it there.
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
