"""YAML front matter at the beginning of a Markdown text."""

from __future__ import annotations

from typing import Any

_MARK = "---"
_LONGEST = 100_000


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Return the values of the front matter and the text below it. Without valid front matter: no values."""
    lines = text.removeprefix("\ufeff").splitlines(keepends=True)
    if not lines or lines[0].rstrip() != _MARK:
        return {}, text
    end = next((n for n, line in enumerate(lines[1:], 1) if line.rstrip() == _MARK), None)
    if end is None:
        return {}, text
    try:
        values = load_yaml("".join(lines[1:end])[:_LONGEST])
    except ValueError:
        return {}, text
    return (values if isinstance(values, dict) else {}), "".join(lines[end + 1 :])


def load_yaml(text: str) -> Any:
    """Return the value of a YAML text, without aliases, which can make a small text huge.

    Raises:
        ValueError: it is not YAML, or has aliases.
    """
    import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.CSafeLoader)):
            raise ValueError("it has aliases")
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError, OverflowError) as error:
        raise ValueError(str(error).replace("\n", " ")) from error
