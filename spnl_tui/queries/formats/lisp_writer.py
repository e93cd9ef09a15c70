"""Write queries as Lisp."""

from __future__ import annotations

from typing import TypeAlias

from spnl_tui.queries.source import PARAMETER
from spnl_tui.queries.tree import (
    Cross,
    File,
    Generate,
    Map,
    Message,
    Parallel,
    Plus,
    Print,
    Query,
    Repeat,
    Sequence,
    check_limits,
)

_WIDTH = 100
_ESCAPES = {"\n": r"\n", "\t": r"\t", "\r": r"\r", '"': r"\"", "\\": r"\\"}
_Layout: TypeAlias = "str | tuple[str, list[_Layout]]"
"""An atom, or a list as its head and the rest."""


def write_lisp(query: Query) -> str:
    """Return the query as Lisp that reads back as an equal tree, in lines of about 100 characters.

    Raises:
        QuerySyntaxError: the tree is too deep or too large.
    """
    check_limits(query)
    return _print(_layout(query), 0) + "\n"


def _layout(node: Query) -> _Layout:
    match node:
        case Message(role, File(path)):
            return (role, [("file", [_quote(path)])])
        case Message(role, str(text)):
            return (role, [_quote(text)])
        case Print(text):
            return ("print", [_quote(text)])
        case Cross() | Plus() | Sequence() | Parallel():
            name = {Cross: "cross", Plus: "plus", Sequence: "seq", Parallel: "par"}[type(node)]
            return (name, [_layout(child) for child in node.children])
        case Repeat():
            return ("repeat", [str(node.n), _layout(node.generate)])
        case Generate():
            return _asking_layout(node, "g", "generate", ("input", [_layout(node.input)]))
        case Map():
            return _asking_layout(node, "map", "map", ("inputs", [_quote(text) for text in node.inputs]))
    raise AssertionError(node)


def _asking_layout(node: Generate | Map, short: str, long: str, given: tuple[str, list[_Layout]]) -> _Layout:
    model = _quote(node.model)
    tools: list[_Layout] = [("tools", list(node.tools))] if isinstance(node, Generate) and node.tools else []
    if node.temperature is None and node.max_tokens is not None:
        # The short form cannot omit the temperature and still give max_tokens.
        return (long, [("model", [model]), given, ("max_tokens", [str(node.max_tokens)]), *tools])
    numbers: list[_Layout] = [repr(node.temperature)] if node.temperature is not None else []
    if node.max_tokens is not None:
        numbers.append(str(node.max_tokens))
    second = given[1][0] if isinstance(node, Generate) else ("list", given[1])
    return (short, [model, second, *numbers, *tools])


def _print(layout: _Layout, indent: int) -> str:
    line = _one_line(layout)
    if isinstance(layout, str) or len(line) + indent <= _WIDTH:
        return line
    head, rest = layout
    # Atoms share a line: (g "model" before the input, 0.6 256) after it.
    lines = [[f"({head}"]]
    previous: _Layout = head
    for part in rest:
        if isinstance(part, str) and isinstance(previous, str):
            lines[-1].append(part)
        else:
            lines.append([_print(part, indent + 3)])
        previous = part
    return ("\n" + " " * (indent + 3)).join(map(" ".join, lines)) + ")"


def _one_line(layout: _Layout) -> str:
    return layout if isinstance(layout, str) else f"({' '.join([layout[0], *map(_one_line, layout[1])])})"


def _quote(text: str) -> str:
    """Return the text as a literal.

    Escape unprintable characters and braces that would read as a parameter.
    """
    if text.isprintable() and not set(text) & set('"\\{'):
        return f'"{text}"'
    braces = {match.start() for match in PARAMETER.finditer(text)}
    escaped = (r"\u{7b}" if at in braces else _escape(character) for at, character in enumerate(text))
    return f'"{"".join(escaped)}"'


def _escape(character: str) -> str:
    plain = character if character.isprintable() else f"\\u{{{ord(character):x}}}"
    return _ESCAPES.get(character, plain)
