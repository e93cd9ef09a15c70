"""The order in which requests start, so that those that begin alike meet the same prefix cache."""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Sequence as Nodes
from dataclasses import dataclass, field

from spnl_tui.queries.tree import Generate, Map, Message, Query, Repeat, asks, walk


@dataclass(slots=True)
class _Prefix:
    """A beginning of requests: the first node that has it, and how it goes on."""

    first: int
    longer: dict[Hashable, _Prefix] = field(default_factory=dict)


def by_prefix(nodes: Nodes[Query]) -> list[int]:
    """The indices of the nodes, those whose first requests begin alike beside each other.

    Otherwise the written order stays: every prefix stands where it was first met.
    """
    root = _Prefix(0)
    keys: list[tuple[int, ...]] = []
    for index, node in enumerate(nodes):
        prefix, key = root, []
        for part in _first_request(node):
            prefix = prefix.longer.setdefault(part, _Prefix(index))
            key.append(prefix.first)
        keys.append((*key, index))
    return sorted(range(len(nodes)), key=keys.__getitem__)


def _first_request(node: Query) -> list[Hashable]:
    """The model of the first request in the node, and those of its messages that are known by now."""
    while True:
        asking = next((part for _, part in walk(node) if isinstance(part, (Generate, Repeat, Map))), None)
        if asking is None:
            return []
        if isinstance(asking, Map):
            return [asking.model, *(("user", text) for text in asking.inputs[:1])]
        generate = asking.generate if isinstance(asking, Repeat) else asking
        if not asks(generate.input):
            messages = [part for _, part in walk(generate.input) if isinstance(part, Message)]
            return [generate.model, *((message.role, message.content) for message in messages)]
        node = generate.input
