"""Which of the models that are here a quantization means, or the lack of one."""

from __future__ import annotations

from collections.abc import Sequence

from spnl_tui.hub.library.scan import SAFETENSORS, LibraryEntry
from spnl_tui.models.quantization import (
    ModelFile,
    Quantization,
    choose,
    label_of_file,
    normalize_label,
)


def choose_entries(entries: Sequence[LibraryEntry], quantization: str | None) -> tuple[LibraryEntry, ...]:
    """Those of this quantization, or all, by label."""
    if quantization is not None:
        chosen = choose_entry(entries, quantization)
        entries = [chosen] if chosen else []
    return tuple(sorted(entries, key=lambda entry: entry.label))


def choose_entry(entries: Sequence[LibraryEntry], quantization: str | None) -> LibraryEntry | None:
    """The entry of this quantization, or by default; None if it is not here.

    Raises:
        ModelReferenceError: several are of this quantization.
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
    wanted = normalize_label(quantization)
    if not any(wanted in (normalize_label(q.label), q.kind) for q in found):
        return by_label.get(quantization.lower()) if quantization.lower() == SAFETENSORS else None
    return by_label[choose(found, named=quantization).label]
