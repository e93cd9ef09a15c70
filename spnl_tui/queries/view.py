"""Render a query as plain text: its tree with states and figures, or with token counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Sequence as Lines

from spnl_tui.queries.events import (
    NodeChunk,
    NodeFailed,
    NodeFinished,
    NodeProgressed,
    NodeStarted,
    QueryEvent,
)
from spnl_tui.queries.source import excerpt
from spnl_tui.queries.tree import (
    Cross,
    File,
    Generate,
    Map,
    Message,
    NodePath,
    Parallel,
    Plus,
    Print,
    Query,
    Repeat,
    Sequence,
    children,
)

Notes = Mapping[NodePath, Lines[str]]
"""The notes beside nodes. A single note is on the node's own line, several are on lines below it."""

_EXCERPT = 60


class Progress:
    """The state of each node of a running query, updated by its events."""

    def __init__(self) -> None:
        self._states: dict[NodePath, list[str]] = {}

    def apply(self, event: QueryEvent) -> None:
        """Update the states from an event."""
        match event:
            case NodeStarted():
                self._states[event.path] = ["waiting"] * event.candidates
            case NodeProgressed() | NodeChunk() | NodeFinished() | NodeFailed():
                states = self._states.setdefault(event.path, [])
                # A node whose request was never sent fails without having started.
                states.extend(["waiting"] * (event.candidate + 1 - len(states)))
                states[event.candidate] = state_of(event)

    @property
    def notes(self) -> Notes:
        """Return the states for `render_tree`. A Repeat or Map has one for each candidate."""
        return {
            path: states
            if len(states) == 1
            else [f"{number}: {state}" for number, state in enumerate(states, 1)]
            for path, states in self._states.items()
        }


def state_of(event: NodeProgressed | NodeChunk | NodeFinished | NodeFailed) -> str:
    """Return the state of a reply after the event, with its figures, in a few words."""
    match event:
        case NodeProgressed(stage="queued"):
            return f"queued behind {event.total}"
        case NodeProgressed(stage="loading"):
            return excerpt(f"loading: {event.detail}" if event.detail else "loading", _EXCERPT)
        case NodeProgressed(total=0):
            return "prefill"
        case NodeProgressed():
            return f"prefill {event.done}/{event.total} tokens"
        case NodeChunk():
            return f"replying, {event.tokens} tokens"
        case NodeFailed():
            return excerpt(": ".join(filter(None, ("failed", event.title, event.message))), 2 * _EXCERPT)
    figures = [f"{event.usage.completion_tokens} tokens"]
    if event.timing.ttft_s is not None:
        figures.append(f"TTFT {event.timing.ttft_s:.2f} s")
    if event.timing.itl_s is not None:
        figures.append(f"ITL {event.timing.itl_s * 1000:.1f} ms")
    words = {"stop": "done", "length": "done (max_tokens reached)", "cancelled": "stopped"}
    return ", ".join([words[event.finish_reason], *figures])


def render_tree(query: Query, notes: Notes | None = None) -> list[str]:
    """Return the tree as lines without control characters, each node with its notes."""
    return list(_lines(query, (), notes or {}, "", ""))


def _lines(node: Query, path: NodePath, notes: Notes, first: str, rest: str) -> Iterator[str]:
    own = notes.get(path, ())
    yield first + label(node) + (f" · {own[0]}" if len(own) == 1 else "")
    below = children(node)
    if len(own) > 1:
        gutter = "│  " if below else "   "
        yield from (f"{rest}{gutter}{line}" for line in own)
    for index, child in enumerate(below):
        last = index == len(below) - 1
        branch, gutter = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _lines(child, (*path, index), notes, rest + branch, rest + gutter)


def label(node: Query) -> str:
    """Return the node itself in a few words."""
    match node:
        case Message(role, File(path)):
            return f"{role} (file {excerpt(path, _EXCERPT)})"
        case Message(role, str(text)):
            return f"{role} {excerpt(text, _EXCERPT)}"
        case Print(text):
            return f"print {excerpt(text, _EXCERPT)}"
        case Cross():
            return "cross"
        case Plus():
            return "plus"
        case Sequence():
            return "seq"
        case Parallel():
            return "par"
        case Generate():
            return f"g {_sampling(node)}"
        case Repeat():
            return f"repeat {node.n} × g {_sampling(node.generate)}"
        case Map():
            return f"map {len(node.inputs)} × {_sampling(node)}"
    raise AssertionError(node)


def _sampling(node: Generate | Map) -> str:
    parts = [excerpt(node.model, _EXCERPT)]
    if node.temperature is not None:
        parts.append(f"temperature {node.temperature:g}")
    if node.max_tokens is not None:
        parts.append(f"≤ {node.max_tokens} tokens")
    if isinstance(node, Generate) and node.tools:
        parts.append(f"tools {' '.join(node.tools)}")
    return ", ".join(parts)
