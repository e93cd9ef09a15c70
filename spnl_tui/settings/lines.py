"""Where in a TOML file a value stands. tomllib keeps no positions."""

from __future__ import annotations

from collections.abc import Mapping


def line_of(text: str, keys: tuple[str, ...]) -> int:
    """The line, from 1, of the statement that gives `keys` its value. `text` is valid TOML.

    A file cut between two statements is valid TOML, one cut within a statement never is. So the first
    valid beginning of the file in which the value exists ends with its statement, and the statement begins
    after the last valid beginning before that. Parsing every beginning takes quadratic time, a
    tenth of a second for a few hundred lines, which is spent only to report a mistake.
    """
    import tomllib

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
