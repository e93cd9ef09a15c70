"""TOML files: a parser that is safe with hostile input, and the line numbers that tomllib does not report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 20
_TOO_DEEP = "It is nested too deeply."
_TOO_LARGE = "It has an integer of more than 64 bits."
_MAX_LINES = 1_000
_MAX_CHARACTERS = 100_000


def parse_toml(text: str) -> dict[str, Any]:
    """Parse a TOML document.

    Raises:
        ValueError: the text is not TOML, is nested too deeply, or has an integer of more than 64 bits.
    """
    import tomllib  # Skip the import for the many users without a file.

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:  # Python rejects more than 4,300 digits
        raise ValueError(_TOO_LARGE) from None
    _check_shape(document)
    return document


def _check_shape(document: dict[str, Any]) -> None:
    """Reject values that no setting has and that later steps could not handle.

    Raises:
        ValueError: the document is nested too deeply, or has an integer of more than 64 bits.
    """
    values: list[tuple[Any, int]] = [(document, 0)]
    while values:
        value, depth = values.pop()
        if depth > _MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        if isinstance(value, int) and value.bit_length() > 63:
            raise ValueError(_TOO_LARGE)
        if isinstance(value, (dict, list)):
            inner = value.values() if isinstance(value, dict) else value
            values.extend((item, depth + 1) for item in inner)


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    """Return the line, from 1, of the statement that sets `keys`; None if the file is too long to search.

    `text` must be valid TOML.

    A file cut between two statements is valid TOML, and one cut within a statement never is. So the first
    valid beginning of the file in which the value exists ends with its statement, and the statement begins
    after the last valid beginning before that. Parsing every beginning takes quadratic time: a tenth of a
    second for a few hundred lines, only to report a mistake. Hence the limits.
    """
    import tomllib

    if len(text) > _MAX_CHARACTERS or text.count("\n") > _MAX_LINES:
        return None
    lines = [line + "\n" for line in text.split("\n")]
    last_valid = 0
    for count in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        if _has(document, keys):
            return last_valid + 1
        last_valid = count
    raise LookupError(f"{'.'.join(keys)} is not in the text")


def _has(document: object, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(document, Mapping) or key not in document:
            return False
        document = document[key]
    return True
