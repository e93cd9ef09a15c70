"""The tree of a span query.

The nodes are SPNL's (IBM/spnl 0.22, `spnl-core`): requests (`Generate`, `Repeat`, `Map`), messages
(`Message`), and groups of both. The input of a Generate becomes its messages, in order: a Message becomes
itself, an inner Generate an assistant message with its reply.

Nodes with the same meaning are equal; their place in a text does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from spnl_tui.models.request import MAX_TOKENS, ROLES, Role
from spnl_tui.queries.source import (
    Place,
    QuerySyntaxError,
    check_count,
    check_model,
    check_temperature,
)

MAX_DEPTH = 50
"""The limit of nodes from the root to the deepest leaf. It keeps recursion far from Python's own limit."""
MAX_SIZE = 10_000
"""The limit of nodes. Each candidate of a Repeat and each input of a Map counts as one."""

NodePath: TypeAlias = tuple[int, ...]
"""The path to a node: the index of the child at each step from the root. Paths sort in written order."""


@dataclass(frozen=True, slots=True)
class File:
    """The text of a file, read when the query runs. A relative path starts at the query's directory."""

    path: str
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Role
    content: str | File
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise QuerySyntaxError(f"found role {self.role!r}; expected {', '.join(ROLES)}", self.place)


@dataclass(frozen=True, slots=True)
class Print:
    """A line for the user. Models never see it."""

    text: str
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Cross:
    """Parts that depend on each other and run in order."""

    children: tuple[Query, ...]
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Plus:
    """Independent parts that run at once."""

    children: tuple[Query, ...]
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts that run in order; all their results are kept."""

    children: tuple[Query, ...]
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Parallel:
    """Parts that run at once; all their results are kept."""

    children: tuple[Query, ...]
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Generate:
    """A request to `model` to reply to `input`. None means the default of the run."""

    model: str
    input: Query
    temperature: float | None = None
    max_tokens: int | None = None
    tools: tuple[str, ...] = ()
    """Tools that the model may call. They only read, because a query runs unattended."""
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_sampling(self)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A request for n replies. Its input is evaluated once."""

    n: int
    generate: Generate
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        check_count(self.n, "how many times", 1, MAX_SIZE, self.place)


@dataclass(frozen=True, slots=True)
class Map:
    """A request for each input, as one user message."""

    model: str
    inputs: tuple[str, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    place: Place | None = field(default=None, compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        _check_sampling(self)


Group: TypeAlias = Cross | Plus | Sequence | Parallel
Asking: TypeAlias = Generate | Repeat | Map
Query: TypeAlias = Message | Print | Group | Asking


def _check_sampling(node: Generate | Map) -> None:
    check_model(node.model, node.place)
    if node.temperature is not None:
        check_temperature(node.temperature, node.place)
    if node.max_tokens is not None:
        check_count(node.max_tokens, "max_tokens", 1, MAX_TOKENS, node.place)


def children(node: Query) -> tuple[Query, ...]:
    """Return the children of `node`."""
    match node:
        case Cross() | Plus() | Sequence() | Parallel():
            return node.children
        case Generate():
            return (node.input,)
        case Repeat():
            return (node.generate.input,)
        case _:
            return ()


def walk(query: Query) -> Iterator[tuple[NodePath, Query]]:
    """Yield every node with its path, parents before children, in written order."""
    stack: list[tuple[NodePath, Query]] = [((), query)]
    while stack:
        path, node = stack.pop()
        yield path, node
        below = children(node)
        stack.extend(((*path, index), below[index]) for index in range(len(below) - 1, -1, -1))


def asks(query: Query) -> bool:
    """Return True if the input has a message that a model can reply to."""
    return any(isinstance(node, (Generate, Repeat, Map)) for _, node in walk(query))


def models(query: Query) -> tuple[str, ...]:
    """Return the name of each model in the query once, in written order."""
    names: dict[str, None] = {}
    for _, node in walk(query):
        match node:
            case Generate() | Map():
                names[node.model] = None
            case Repeat():
                names[node.generate.model] = None
    return tuple(names)


def check_limits(query: Query) -> None:
    """Check that a tree is neither too deep nor too large. Accepts a tree of any depth.

    Raises:
        QuerySyntaxError: the tree is deeper than MAX_DEPTH or larger than MAX_SIZE.
    """
    size = 0
    # Do not use walk(), because the paths of a very deep tree are too large themselves.
    stack = [(query, 1)]
    while stack:
        node, depth = stack.pop()
        size += node.n if isinstance(node, Repeat) else len(node.inputs) if isinstance(node, Map) else 1
        if depth > MAX_DEPTH:
            raise too_deep(node.place)
        if size > MAX_SIZE:
            raise QuerySyntaxError(
                f"it has more than {MAX_SIZE:,} parts, repeats included",
                node.place,
                "Split it, or use spnl-chat map for many inputs.",
            )
        stack.extend((child, depth + 1) for child in reversed(children(node)))


def too_deep(place: Place | None) -> QuerySyntaxError:
    """Return the error for a query that is nested too deeply."""
    return QuerySyntaxError(
        f"it is nested more than {MAX_DEPTH} deep",
        place,
        "Take an inner query out, and run it by itself first.",
    )


def transform(query: Query, change: Callable[[Query], Query]) -> Query:
    """Return a tree with each node replaced by `change(node)`, from the leaves up.

    The Generate of a Repeat is replaced, too, and must stay a Generate.

    Raises:
        QuerySyntaxError: the tree is too deep or too large.
    """
    check_limits(query)
    return _transform(query, change)


def _transform(node: Query, change: Callable[[Query], Query]) -> Query:
    match node:
        case Cross() | Plus() | Sequence() | Parallel():
            node = replace(node, children=tuple(_transform(child, change) for child in node.children))
        case Generate():
            node = replace(node, input=_transform(node.input, change))
        case Repeat():
            generate = _transform(node.generate, change)
            assert isinstance(generate, Generate)
            node = replace(node, generate=generate)
    return change(node)


def with_model(query: Query, model: str) -> Query:
    """Return the same query with all requests sent to `model`."""
    return transform(
        query, lambda node: replace(node, model=model) if isinstance(node, (Generate, Map)) else node
    )
