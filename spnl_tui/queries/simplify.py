"""Simplify a query to fewer nodes."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable
from dataclasses import replace

from spnl_tui.queries.tree import (
    Cross,
    Generate,
    Map,
    Message,
    Parallel,
    Plus,
    Query,
    Repeat,
    Sequence,
    asks,
    transform,
)


def simplify(query: Query) -> Query:
    """Return an equivalent query with fewer nodes, with the same results in the same order.

    Flatten groups within a group of the same kind, replace a group of one by its member, and drop empty
    groups and messages. In a Plus, fold equal neighbours into one Repeat, and neighbours that send one user
    message each, to the same model with the same sampling, into one Map. Do not fold a query whose input has
    a request, because each repeat has its own inner replies.

    Raises:
        QuerySyntaxError: the tree is too deep or too large.
    """
    return transform(query, _simplify_node)


def _simplify_node(node: Query) -> Query:
    """Simplify `node`, whose children are simple already."""
    match node:
        case Cross() | Plus() | Sequence() | Parallel():
            parts: list[Query] = []
            for child in node.children:
                if isinstance(child, type(node)):
                    parts.extend(child.children)
                elif not _is_empty(child):
                    parts.append(child)
            if isinstance(node, Plus):
                parts = _fold(parts)
            if not parts:
                return Sequence((), place=node.place)
            return parts[0] if len(parts) == 1 else replace(node, children=tuple(parts))
        case Message(content=""):
            return Sequence((), place=node.place)
        case Repeat(n=1):
            return node.generate
        case Map():
            return _asking(node, node.inputs)
        case _:
            return node


def _is_empty(node: Query) -> bool:
    return isinstance(node, (Cross, Plus, Sequence, Parallel)) and not node.children


def _fold(parts: Iterable[Query]) -> list[Query]:
    """Fold neighbours among the `parts` of a Plus that can be one request."""
    folded: list[Query] = []
    for key, run in itertools.groupby(parts, _fold_key):
        nodes = list(run)
        if key is None or len(nodes) == 1:
            folded.extend(nodes)
        elif isinstance(key, Generate):
            total = sum(node.n if isinstance(node, Repeat) else 1 for node in nodes)
            folded.append(Repeat(total, key, place=nodes[0].place))
        else:
            inputs = tuple(text for node in nodes for text in _inputs(node))
            folded.append(_asking(nodes[0], inputs))
    return folded


def _fold_key(node: Query) -> Hashable:
    """Return the values that two neighbours must share to be folded; None for a node that never is."""
    if isinstance(node, Map):
        return (node.model, node.temperature, node.max_tokens)
    generate = node.generate if isinstance(node, Repeat) else node
    if not isinstance(generate, Generate) or asks(generate.input):
        return None
    if generate.tools:
        return generate
    match generate.input:
        case Message(role="user", content=str()):
            return (generate.model, generate.temperature, generate.max_tokens)
    return generate


def _inputs(node: Query) -> tuple[str, ...]:
    """Return the user messages of a node whose `_fold_key` is a tuple."""
    match node:
        case Map():
            return node.inputs
        case Repeat(generate=Generate(input=Message(content=str(text)))):
            return (text,) * node.n
        case Generate(input=Message(content=str(text))):
            return (text,)
    raise AssertionError(node)


def _asking(like: Query, inputs: tuple[str, ...]) -> Query:
    """Return the simplest node that sends each of `inputs`, with the model and the sampling of `like`."""
    first = like.generate if isinstance(like, Repeat) else like
    assert isinstance(first, (Generate, Map))
    if not inputs:
        return Sequence((), place=like.place)
    if any(text != inputs[0] for text in inputs):
        return Map(first.model, inputs, first.temperature, first.max_tokens, place=like.place)
    message = Message("user", inputs[0], place=like.place) if inputs[0] else Sequence((), place=like.place)
    generate = Generate(first.model, message, first.temperature, first.max_tokens, place=like.place)
    return generate if len(inputs) == 1 else Repeat(len(inputs), generate, place=like.place)
