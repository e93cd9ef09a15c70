"""Groups and labels the quantizations among a repository's files, and chooses one.

A GGUF repository holds the same model in many quantizations, which only the file names distinguish. A
quantization has a label and one file or several shards (`-00001-of-00003`, llama.cpp's gguf-split). Labels
are llama.cpp's (`llama-quantize --help`) and those of unsloth's dynamic quantizations (`UD-Q4_K_XL`), in
upper case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from spnl_tui.errors import ModelReferenceError
from spnl_tui.models.files.not_models import kind_by_name

DEFAULT_ORDER = ("Q4_K_M", "Q8_0", "Q5_K_M")
"""The quantizations that SPNL prefers, in this order."""

SAFETENSORS = "safetensors"
"""The label of a model in safetensors, which has no quantizations."""

_KIND = (
    r"(?:UD-)?(?:"
    r"IQ[1-8]_(?:XXS|XS|S|M|L|XL|NL|KSS|KS|KT|K)(?:_L|_XL)?"  # importance quants; K… are ik_llama.cpp's
    r"|Q[2-8]_K(?:_(?:XXS|XS|S|M|L|XL|XXL))?"  # K-quants and their mixes
    r"|Q[1-8]_[01](?:_(?:4_4|4_8|8_8|XL|L))?"  # legacy quants, also re-packed for ARM
    r"|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4"
    r"|BF16|FP?(?:16|32)"
    r"|Q[2-8]"
    r")"
)
_LABEL = re.compile(rf"{_KIND}(?:-{_KIND})?")
_LABEL_AT_END = re.compile(
    rf"(?:^|[-._ ])(?:i1-)?({_LABEL.pattern})(?:[-._ ](?:imat|imatrix|\d+(?:\.\d+)?bpw))?$",
    re.IGNORECASE,
)
_SHARD = re.compile(r"^(?P<stem>.+)-(?P<index>\d{5})-of-(?P<total>\d{5})$")
_FP = re.compile(r"(?<![A-Z0-9])FP(16|32)(?![A-Z0-9])")
_FLOATS = {"BF16": 16.0, "F16": 16.0, "F32": 32.0}

# Bits per weight of the main tensor type: 8 × bytes of a block / weights in it (ggml-common.h).
_BITS = {
    **_FLOATS,
    "IQ1_S": 1.5625,
    "IQ1_M": 1.75,
    "TQ1_0": 1.6875,
    "IQ2_XXS": 2.0625,
    "TQ2_0": 2.0625,
    "IQ2_XS": 2.3125,
    "IQ2_S": 2.5625,
    "IQ2_M": 2.5625,
    "Q2_K": 2.625,
    "IQ3_XXS": 3.0625,
    "IQ3_XS": 3.4375,
    "IQ3_S": 3.4375,
    "IQ3_M": 3.4375,
    "Q3_K": 3.4375,
    "IQ4_XS": 4.25,
    "MXFP4": 4.25,
    "IQ4_NL": 4.5,
    "NVFP4": 4.5,
    "Q4_0": 4.5,
    "Q4_K": 4.5,
    "Q4_1": 5.0,
    "Q5_0": 5.5,
    "Q5_K": 5.5,
    "Q5_1": 6.0,
    "Q6_K": 6.5625,
    "Q8_0": 8.5,
    "Q8_K": 9.125,
}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a model, with its path in the repository or directory."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Quantization:
    """A quantization, with a label unique in its repository and its files, shards in order."""

    label: str
    files: tuple[ModelFile, ...]
    kind: str
    """The label in the file name. It equals `label` unless two files share it, and may be empty."""

    @property
    def size_bytes(self) -> int | None:
        """Return the total size of all files; None if one is unknown."""
        sizes = [file.size_bytes for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def normalize_label(label: str) -> str:
    """Return a label in its usual spelling; other names are returned unchanged.

    Labels are in upper case, use F16 for FP16, and lack the mark `i1-` of an importance matrix.
    """
    upper = label.upper().removeprefix("I1-")
    upper = _FP.sub(r"F\1", upper) if "FP" in upper else upper
    return upper if _LABEL.fullmatch(upper) else label


def escape_label(label: str) -> str:
    """Return a label as written in a reference: `@`, `%`, `:` and unprintable characters are escaped."""
    start, end = len(label) - len(label.lstrip()), len(label.rstrip())

    def stays(index: int, character: str) -> bool:
        # Spaces around references are ignored, so spaces at the ends must be escaped.
        return character.isprintable() and character not in "%@:" and start <= index < end

    return "".join(
        character if stays(index, character) else quote(character, safe="", errors="replace")
        for index, character in enumerate(label)
    )


def label_of_file(path: str) -> str | None:
    """Return the quantization in the file's name or its folder's name; None if neither has one."""
    folder, stem, _, _ = _place(path)
    return _label(folder, stem)


def _label(folder: str, stem: str) -> str | None:
    for name in (stem, *reversed(folder.split("/"))):
        if match := _LABEL_AT_END.search(name):
            return normalize_label(match[1])
    return None


def nominal_bits(label: str) -> float | None:
    """Return the bits per weight of the label's main tensor type; None if unknown."""
    plain = label.removeprefix("UD-").partition("-")[0]
    while plain:
        if plain in _BITS:
            return _BITS[plain]
        plain = plain.rpartition("_")[0]
    return None


def is_float(label: str) -> bool:
    """Return True for a float format, for which mistral.rs has no fast CPU kernel."""
    return label in _FLOATS


def quantizations_of(files: Iterable[ModelFile]) -> tuple[Quantization, ...]:
    """Return the quantizations among these files, smallest first if sizes are known.

    Shards form one quantization; it is left out if any shard is missing, because it cannot be loaded. The
    label is the one in the file name, such as Q4_K_M, if it is unique. A repository may hold several models.
    Then the label is the first of these that is unique: the name without suffix, the path without suffix, the
    path.
    """
    groups: dict[tuple[str, str, int], list[tuple[int, ModelFile]]] = {}
    for file in {file.path: file for file in files}.values():
        if file.path.lower().endswith(".gguf"):
            folder, stem, index, total = _place(file.path)
            if kind_by_name(file.path) is None:
                # A file that is not a shard forms a group of its own, even if its name occurs twice.
                groups.setdefault((folder, stem if total else file.path, total), []).append((index, file))
    whole: list[tuple[tuple[str, ...], tuple[ModelFile, ...]]] = []
    for (folder, _, total), parts in groups.items():
        parts.sort(key=lambda part: part[0])
        if [index for index, _ in parts] == list(range(1, max(1, total) + 1)):
            path = parts[0][1].path
            _, stem, _, _ = _place(path)
            names = (_label(folder, stem) or "", stem, f"{folder}/{stem}".lstrip("/"), path)
            whole.append((names, tuple(file for _, file in parts)))
    counts = [Counter(names[level] for names, _ in whole) for level in range(4)]
    found = [
        Quantization(
            next(name for name, count in zip(names, counts, strict=True) if name and count[name] == 1),
            shards,
            names[0],
        )
        for names, shards in whole
    ]
    return tuple(sorted(found, key=lambda q: (*_rank(q), q.label)))


def choose(
    quantizations: Sequence[Quantization],
    *,
    named: str | None = None,
    cached: Collection[str] = (),
    suits: Callable[[Quantization], bool] = lambda _: True,
) -> Quantization:
    """Return the quantization to use.

    The one that the user `named` is always chosen. Otherwise take the first of DEFAULT_ORDER that suits, then
    the best that suits (most bits, floats last), each time preferring `cached` labels to those that must be
    pulled. If none suits, ignore `suits`: the verdict of the chosen one says why it does not fit.

    Raises:
        ModelReferenceError: there is no quantization, none with that name, or several.
    """
    if not quantizations:
        raise ModelReferenceError(
            "No GGUF here", "There is no GGUF file with a model's weights.", "Choose another repository."
        )
    if named is not None:
        return _named(quantizations, named)
    here = [q for q in quantizations if q.label in cached]
    for pool in (here, quantizations):
        suitable = [q for q in pool if suits(q)]
        if suitable:
            return _preferred(suitable) or max(suitable, key=_quality)
    pool = here or quantizations
    return _preferred(pool) or min(pool, key=_rank)


def find_named(quantizations: Sequence[Quantization], named: str) -> list[Quantization]:
    """Return the quantizations that a name can mean: none, one or several.

    The name is a label (Q4_K_M), or the name or path of a file, with or without suffix. The most exact
    reading of the name that finds any quantization counts.
    """
    wanted = normalize_label(named)

    def paths(quantization: Quantization, fold: Callable[[str], str]) -> set[str]:
        return {fold(n) for file in quantization.files for n in (file.path, file.path.rpartition(".")[0])}

    def stems(quantization: Quantization) -> set[str]:
        folder, stem, _, _ = _place(quantization.files[0].path)
        names = (stem, f"{folder}/{stem}", quantization.files[0].path.rpartition("/")[2])
        return {name.casefold() for name in names}

    readings: tuple[Callable[[Quantization], bool], ...] = (
        lambda q: q.label in (named, wanted),
        lambda q: named in paths(q, str),
        lambda q: q.label.casefold() == named.casefold(),
        lambda q: named.casefold() in paths(q, str.casefold),
        lambda q: q.kind == wanted,
        lambda q: named.casefold() in stems(q),
    )
    for reading in readings:
        if found := [q for q in quantizations if reading(q)]:
            return found
    return []


def _named(quantizations: Sequence[Quantization], named: str) -> Quantization:
    same, wanted = find_named(quantizations, named), normalize_label(named)
    if len(same) == 1:
        return same[0]
    labels = ", ".join(escape_label(q.label) for q in (same or quantizations)[:12])
    if same:
        raise ModelReferenceError(
            f"Which {wanted}?", f"{len(same)} files are called {wanted}.", f"Choose one of {labels}."
        )
    raise ModelReferenceError(f"No {wanted} here", f"No file is called {wanted}.", f"There are {labels}.")


def _preferred(quantizations: Sequence[Quantization]) -> Quantization | None:
    matches = (q for kind in DEFAULT_ORDER for q in quantizations if q.kind == kind)
    return next(matches, None)


def _quality(quantization: Quantization) -> tuple[bool, float, float]:
    bits, size = _rank(quantization)
    return (not is_float(quantization.kind), bits, size)


_MIXES = {"XXS": 0, "XS": 1, "S": 2, "NL": 2, "M": 3, "L": 4, "XL": 5, "XXL": 6}


def _rank(quantization: Quantization) -> tuple[float, float]:
    """Return a sort key for quality: bits of the main type, then bytes or the letters of the mix."""
    mix = _MIXES.get(quantization.kind.rpartition("_")[2], 2)
    size = quantization.size_bytes
    return (nominal_bits(quantization.kind) or 0.0, float(mix if size is None else size))


def _place(path: str) -> tuple[str, str, int, int]:
    """Return the folder, the name without suffix, the shard's number and the number of shards (1 of 0 if not
    sharded)."""
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    if shard := _SHARD.match(stem):
        return folder, shard["stem"], int(shard["index"]), int(shard["total"])
    return folder, stem, 1, 0
