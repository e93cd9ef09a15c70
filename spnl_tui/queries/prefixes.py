"""Order requests so that those with a common prefix find it in the prefix cache."""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Sequence as Nodes
from dataclasses import dataclass, field

from spnl_tui.queries.tree import Generate, Map, Message, Query, Repeat, asks, walk


@dataclass(slots=True)
class _Prefix:
    """A message prefix: the first node that has it, and the prefixes that continue it."""

    first: int
    longer: dict[Hashable, _Prefix] = field(default_factory=dict)


def by_prefix(nodes: Nodes[Query]) -> list[int]:
    """Return the indices of the nodes, with those next to each other whose first requests share a prefix.

    Otherwise keep the written order: each prefix stays where it occurred first.
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
    """Return the model of the node's first request, and those of its messages that are known now."""
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
